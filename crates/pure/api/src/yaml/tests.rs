//! The expected texts are what a Patroni client prints for the same values.

use serde_json::json;

use super::*;

#[test]
fn a_configuration_is_printed_as_patroni_prints_it() {
    let long = format!("{} {} c", "a".repeat(110), "b".repeat(95));
    let config = json!({
        "ttl": 30, "maximum_lag_on_failover": 1_048_576,
        "postgresql": {"use_pg_rewind": true, "parameters": {
            "max_connections": 100, "hot_standby": "on", "log_line_prefix": "%m [%p] ",
            "archive_command": "cp %p /a/%f", "x.y": "yes"}},
        "note": null, "list": [1, "a", {"b": 2, "c": [3]}, [4, [5]]], "empty": {}, "el": [],
        "s": "it's: a #b", "multi": "a\nb\n", "neg": -1, "fl": 1.5, "num": "123", "uni": "é☃",
        "date": "2020-01-01", "tilde": "~", "sp": " lead", "q": "\"x\"", "long": long,
    });
    let long = format!("{} {}\n  c", "a".repeat(110), "b".repeat(95));
    assert_eq!(
        block(&config),
        format!(
            "date: '2020-01-01'\nel: []\nempty: {{}}\nfl: 1.5\nlist:\n- 1\n- a\n- b: 2\n  c:\n  - 3\n\
             - - 4\n  - - 5\nlong: {long}\nmaximum_lag_on_failover: 1048576\nmulti: 'a\n\n  b\n\n  '\n\
             neg: -1\nnote: null\nnum: '123'\npostgresql:\n  parameters:\n    \
             archive_command: cp %p /a/%f\n    hot_standby: 'on'\n    log_line_prefix: '%m [%p] '\n    \
             max_connections: 100\n    x.y: 'yes'\n  use_pg_rewind: true\nq: '\"x\"'\n\
             s: 'it''s: a #b'\nsp: ' lead'\ntilde: '~'\nttl: 30\nuni: é☃\n"
        )
    );
}

#[test]
fn what_would_read_as_something_else_is_quoted() {
    let quoted = "on|Off|YES|n o:|null|Null|~||1|-1|+1|0x1F|0b1|017|1_000|1.5|.5|1.|1.5e+3|1e3|0o7|\
                  .inf|1:30|2020-01-01|2020-01-01T10:00:00Z|- a|-|? a|a: b|a #b|#a|%a|@a|`a|!a|&a|*a|\
                  [a|{a|'a|,a| a|a |=|<<|a:|---|>";
    for text in quoted.split('|').chain(["|"]) {
        let printed = block(&json!(text));
        assert!(printed.starts_with('\''), "{text} is printed as {printed}");
    }
    assert_eq!(block(&json!("a\tb\u{1}")), "\"a\\tb\\x01\"\n");
}

#[test]
fn what_reads_as_itself_is_not_quoted() {
    let plain = "a|-a|a:b|a#b|1a|0x|08|e3|1.2.3|1:99|10.0.0.1:5432|10.0.0.1/32|2020-01|node-1|a, b|\
                 a [b]|Onn|/a/b|é|0/4000060|a'b|100->200|1GB";
    for text in plain.split('|') {
        assert_eq!(block(&json!(text)), format!("{text}\n"));
    }
}

#[test]
fn a_text_that_stands_alone_is_no_end_of_a_document() {
    for text in ["a\n--- b", "a\n...", "a ---", "--- b", "a\n---b"] {
        let printed = block(&json!(text));
        let back = pgherd_settings::read_yaml(&printed);
        assert_eq!(back, Ok(json!(text)), "{printed}");
    }
}

#[test]
fn every_text_reads_back_as_itself() {
    for text in [
        "it's",
        "a\nb",
        "a\n\nb\n",
        "\n",
        " \n ",
        "a: b\nc",
        "x: [1, 2]",
        "\u{7f}",
        "a\u{2028}b",
        "tab\t",
        "1:30",
        "e\n  indented",
        "quote\"s",
        "back\\slash",
        "%m [%p] ",
        "{}",
        "[]",
        "null",
        "0o7",
        "1e3",
        "- -",
    ] {
        let printed = block(&json!({"k": text, "l": [text]}));
        let back = pgherd_settings::read_yaml(&printed).unwrap();
        assert_eq!(back, json!({"k": text, "l": [text]}), "{printed}");
    }
}

#[test]
fn flow_style_is_one_line_with_sorted_keys() {
    let tags = json!({"nofailover": true, "clonefrom": "yes", "a": [1, "b, c"], "r": "node2"});
    assert_eq!(
        flow(&tags),
        "{a: [1, 'b, c'], clonefrom: 'yes', nofailover: true, r: node2}"
    );
}

#[test]
fn a_number_with_an_exponent_stays_a_number() {
    assert_eq!(
        block(&json!({"a": 1e20, "b": 1.5e-9, "c": 2})),
        "a: 1.0e+20\nb: 1.5e-9\nc: 2\n"
    );
}

//! The syntax of values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn booleans_in_every_spelling() {
    for value in [
        json!(true),
        json!("ON"),
        json!("yes"),
        json!("True"),
        json!("1"),
        json!(1),
    ] {
        assert_eq!(flag(&value), Some(true), "{value}");
    }
    for value in [
        json!(false),
        json!("Off"),
        json!("no"),
        json!("false"),
        json!(0),
    ] {
        assert_eq!(flag(&value), Some(false), "{value}");
    }
    for value in [
        json!("y"),
        json!(2),
        json!(""),
        json!(null),
        json!([true]),
        json!({}),
    ] {
        assert_eq!(flag(&value), None, "{value}");
    }
}

#[test]
fn integers_in_every_base() {
    for (value, number) in [
        (json!(10), 10),
        (json!("10"), 10),
        (json!(" -1 "), -1),
        (json!("+7"), 7),
        (json!("0x1F"), 31),
        (json!("0644"), 420),
        (json!("-010"), -8),
        (json!("0"), 0),
        (json!("1_000"), 1000),
        (json!("1e3"), 1000),
        (json!(10.0), 10),
    ] {
        assert_eq!(whole(&value), Some(number), "{value}");
    }
    for value in [
        json!("ten"),
        json!("10s"),
        json!("089"),
        json!(""),
        json!("-"),
        json!(true),
    ] {
        assert_eq!(whole(&value), None, "{value}");
    }
}

#[test]
fn sizes_and_times_with_and_without_units() {
    for (text, number) in [
        ("1048576", 1_048_576),
        ("1MB", 1_048_576),
        ("1 mb", 1_048_576),
        ("1.5GB", 1_610_612_736),
        ("2kB", 2048),
        ("16B", 16),
        ("0x10", 16),
        ("-1", -1),
    ] {
        assert_eq!(bytes(&json!(text), SizeUnit::Byte), Some(number), "{text}");
    }
    assert_eq!(bytes(&json!(2), SizeUnit::Mebibyte), Some(2 << 20));
    for (text, number) in [
        ("30", 30_000_000),
        ("30s", 30_000_000),
        ("2min", 120_000_000),
        ("1 h", 3_600_000_000),
        ("1d", 86_400_000_000),
        ("250ms", 250_000),
        ("7us", 7),
        ("0.5", 500_000),
    ] {
        assert_eq!(
            micros(&json!(text), TimeUnit::Second),
            Some(number),
            "{text}"
        );
    }
    for text in ["30x", "1 MB", "abc", "s", "1e400", "9223372036854775807d"] {
        assert_eq!(micros(&json!(text), TimeUnit::Second), None, "{text}");
    }
    assert_eq!(seconds(&json!("1500ms")), Some(2));
    assert_eq!(seconds(&json!("30min")), Some(1800));
}

proptest! {
    #[test]
    fn a_size_that_is_shown_reads_back(bytes_count in -(1i64 << 60)..(1i64 << 60)) {
        let shown = Value::String(show_bytes(bytes_count));
        prop_assert_eq!(bytes(&shown, SizeUnit::Segment), Some(bytes_count));
    }

    #[test]
    fn a_time_that_is_shown_reads_back(time in -(1i64 << 60)..(1i64 << 60)) {
        let shown = Value::String(show_micros(time));
        prop_assert_eq!(micros(&shown, TimeUnit::Day), Some(time));
    }

    #[test]
    fn a_size_in_any_unit_is_its_multiple(count in 0i64..100_000, unit in 0usize..5) {
        let (name, factor) = [("B", 1i64), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)][unit];
        prop_assert_eq!(bytes(&json!(format!("{count}{name}")), SizeUnit::Byte), Some(count * factor));
    }

    #[test]
    fn no_text_makes_the_readers_fail(text in "\\PC{0,20}") {
        let value = Value::String(text);
        let _ = (flag(&value), whole(&value), bytes(&value, SizeUnit::Byte), seconds(&value));
    }
}

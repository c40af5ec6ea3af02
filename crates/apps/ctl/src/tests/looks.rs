//! Commands that only look.

use std::collections::BTreeMap;

use clap::CommandFactory as _;

use super::fake::{Line, Member, NOBODY, Store, run, view};
use crate::args::ClientArgs;
use crate::session::Session;

#[test]
fn the_command_line_is_consistent() {
    Line::command().debug_assert();
}

#[test]
fn every_help_text_has_an_example() {
    for command in Line::command().get_subcommands() {
        let help = command.get_long_about().unwrap_or_default().to_string();
        assert!(
            help.contains("Example: `pgherd "),
            "{}: {help}",
            command.get_name()
        );
    }
}

#[tokio::test]
async fn list_and_topology_show_the_named_clusters_or_the_configured_one() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "list", "").await;
    assert!(
        ran.ok && ran.out.starts_with("+ Cluster: demo (uninitialized) "),
        "{ran:?}"
    );
    let ran = run(&store, "topology other", "").await;
    assert!(
        ran.out.contains("Cluster: other ") && ran.out.contains("| + b "),
        "{ran:?}"
    );
    let ran = run(&store, "list -f json", "").await;
    assert!(
        ran.out.starts_with(r#"[{"Cluster": "demo", "Member": "a""#),
        "{ran:?}"
    );
    let ran = run(&store, "list -t", "").await;
    let stamp = ran.out.lines().next().unwrap();
    assert_eq!(stamp.len(), "2026-11-24 03:00:00".len(), "{stamp}");
    assert_eq!(
        run(&store, "list -w 0", "").await.err,
        "Error: --watch needs a positive number of seconds\n"
    );
}

#[tokio::test]
async fn history_and_explain_print_in_every_format() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    assert_eq!(
        run(&store, "history -f tsv", "").await.out,
        "TL\tLSN\tReason\tTimestamp\tNew Leader\n"
    );
    let ran = run(&store, "explain", "").await;
    assert!(
        ran.out.ends_with(
            "If a fails now, c takes over, with everything that is known to be written.\n"
        ),
        "{ran:?}"
    );
    let ran = run(&store, "explain demo -f yml", "").await;
    assert!(ran.out.contains("  May become primary: 'yes'\n"), "{ran:?}");
    store.change(|view| view.members.clear());
    assert_eq!(
        run(&store, "explain", "").await.err,
        "Error: demo cluster doesn't have any members\n"
    );
}

#[tokio::test]
async fn version_asks_the_members() {
    let status = r#"{"server_version": 150018, "patroni": {"version": "4.1.5"}}"#;
    let member = Member::start(&[(200, status)]).await;
    let store = Store::new(view(&member.api_url, NOBODY, NOBODY));
    let ran = run(&store, "version demo a b", "").await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("patronictl version 4.1.5 (pgherd "),
        "{ran:?}"
    );
    assert_eq!(
        (lines[1], lines[2]),
        ("", "a: Patroni 4.1.5 PostgreSQL 15.18")
    );
    assert!(
        lines[3].starts_with("b: failed to get version: ")
            && lines[3].ends_with("Connection refused (os error 111)"),
        "{ran:?}"
    );
}

#[test]
fn a_file_that_was_named_must_be_there_and_the_own_one_need_not() {
    let env = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let named = ClientArgs {
        config_file: Some("/no/such".into()),
        ..ClientArgs::default()
    };
    let text = "Provided config file /no/such not existing or no read rights. \
                Check the -c/--config-file parameter";
    assert_eq!(
        Session::open(&named, &env(&[])).unwrap_err().to_string(),
        text
    );
    let by_env = env(&[("PATRONICTL_CONFIG_FILE", "/no/such")]);
    assert_eq!(
        Session::open(&ClientArgs::default(), &by_env)
            .unwrap_err()
            .to_string(),
        text
    );

    let url = ClientArgs {
        dcs_url: Some("etcd3://127.0.0.1:2379".into()),
        ..ClientArgs::default()
    };
    assert!(Session::open(&url, &env(&[("HOME", "/no/such")])).is_ok());
    let strange = ClientArgs {
        dcs_url: Some("foo://x".into()),
        ..ClientArgs::default()
    };
    let error = Session::open(&strange, &env(&[])).unwrap_err().to_string();
    assert!(error.contains("Unknown dcs scheme: foo"), "{error}");
    let group = ClientArgs {
        group: Some(1),
        ..ClientArgs::default()
    };
    assert!(
        Session::open(&group, &env(&[]))
            .unwrap_err()
            .to_string()
            .contains("Citus")
    );
}

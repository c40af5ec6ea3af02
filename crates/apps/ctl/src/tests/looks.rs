//! Commands that only look.

use std::collections::BTreeMap;

use clap::CommandFactory as _;

use super::fake::{Line, Member, NOBODY, Store, run, run_as, view};
use crate::Program;
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
            help.contains("Example: `"),
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
    // in the formats for programs, too, as the original has it
    let ran = run(&store, "list -t -f tsv", "").await;
    let second = ran.out.lines().nth(1).unwrap();
    assert!(second.starts_with("Cluster\tMember\t"), "{ran:?}");
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
    assert_eq!(lines[0], "patronictl version 4.1.5");
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
        Session::open(&named, &env(&[]), Program::Pgherd)
            .unwrap_err()
            .to_string(),
        text
    );
    let by_env = env(&[("PATRONICTL_CONFIG_FILE", "/no/such")]);
    assert_eq!(
        Session::open(&ClientArgs::default(), &by_env, Program::Pgherd)
            .unwrap_err()
            .to_string(),
        text
    );

    let url = ClientArgs {
        dcs_url: Some("etcd3://127.0.0.1:2379".into()),
        ..ClientArgs::default()
    };
    assert!(Session::open(&url, &env(&[("HOME", "/no/such")]), Program::Pgherd).is_ok());
    let strange = ClientArgs {
        dcs_url: Some("foo://x".into()),
        ..ClientArgs::default()
    };
    let error = Session::open(&strange, &env(&[]), Program::Pgherd)
        .unwrap_err()
        .to_string();
    assert!(error.contains("Unknown dcs scheme: foo"), "{error}");
}

#[tokio::test]
async fn a_group_of_a_citus_cluster_is_named_in_the_title_or_a_column() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "list --group 2", "").await;
    assert!(
        ran.out
            .starts_with("+ Citus cluster: demo (group: 2, uninitialized) -"),
        "{ran:?}"
    );
    let ran = run(&store, "list --group 2 -f tsv", "").await;
    assert!(ran.out.starts_with("Cluster\tGroup\tMember\t"), "{ran:?}");
    assert!(
        ran.out.contains("\ndemo\t2\ta\t10.0.0.1\tLeader"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn in_a_citus_cluster_some_commands_know_their_group_and_some_must_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("citus.yml");
    let text = "scope: demo\netcd3: {hosts: '127.0.0.1:1'}\ncitus: {group: 3, database: x}\n";
    fs_err::write(&path, text).unwrap();
    let session = |group: Option<u32>| {
        let args = ClientArgs {
            config_file: Some(path.display().to_string()),
            group,
            ..ClientArgs::default()
        };
        Session::open(&args, &BTreeMap::new(), Program::Patronictl).unwrap()
    };
    let half = "scope: demo\netcd3: {hosts: '127.0.0.1:1'}\ncitus: {group: 3}\n";
    fs_err::write(&path, half).unwrap();
    assert!(
        !session(None).needs_group(),
        "without a database it is no Citus cluster"
    );
    fs_err::write(&path, text).unwrap();
    let unnamed = session(None);
    assert!(unnamed.needs_group() && !session(Some(0)).needs_group());
    assert_eq!(unnamed.own_cluster(None).unwrap().group, Some(3));
    assert_eq!(unnamed.cluster(None).unwrap().group, None);
    let refused = unnamed.exact_cluster(None).unwrap_err().to_string();
    assert_eq!(refused, "For Citus clusters the --group must me specified");
    let named = session(Some(0));
    assert_eq!(named.own_cluster(None).unwrap().group, Some(0));
    assert_eq!(named.exact_cluster(Some("other")).unwrap().group, Some(0));
}

#[tokio::test]
async fn a_dsn_is_the_leaders_unless_another_is_meant() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    for (line, said) in [
        ("dsn", "host=10.0.0.1 port=5432\n"),
        ("dsn demo -r replica", "host=10.0.0.2 port=5432\n"),
        ("dsn -m c", "host=10.0.0.3 port=5432\n"),
    ] {
        assert_eq!(run(&store, line, "").await.out, said, "{line}");
    }
    for (line, why) in [
        ("dsn -m nobody", "Can not find a suitable member"),
        ("dsn -r standby-leader", "Can not find a suitable member"),
        (
            "dsn -r any -m a",
            "--role and --member are mutually exclusive options",
        ),
    ] {
        let ran = run(&store, line, "").await;
        assert_eq!(
            (ran.ok, ran.err),
            (false, format!("Error: {why}\n")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn as_pgherd_an_address_names_all_members_those_meant_first() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let all = "10.0.0.1:5432,10.0.0.2:5432,10.0.0.3:5432";
    for (line, said) in [
        ("dsn", format!("postgresql://{all}/?target_session_attrs=read-write\n")),
        (
            "dsn -d my/app -U me",
            format!("postgresql://me@{all}/my%2Fapp?target_session_attrs=read-write\n"),
        ),
        (
            "dsn -r replica",
            "postgresql://10.0.0.2:5432,10.0.0.3:5432,10.0.0.1:5432/?target_session_attrs=prefer-standby\n"
                .to_owned(),
        ),
        ("dsn -m c", "postgresql://10.0.0.3:5432/?target_session_attrs=any\n".to_owned()),
        ("dsn --one", "host=10.0.0.1 port=5432\n".to_owned()),
    ] {
        assert_eq!(run_as(&store, line, "", Program::Pgherd).await.out, said, "{line}");
    }
    let ran = run_as(&store, "dsn -m nobody", "", Program::Pgherd).await;
    assert_eq!(ran.err, "Error: Can not find a suitable member\n");
}

#[tokio::test]
async fn versions_of_members_that_are_not_there_are_no_failure() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    for line in ["version other-member-only", "version demo nobody"] {
        let ran = run(&store, line, "").await;
        assert!(ran.ok, "{line}: {ran:?}");
    }
    let ran = run(&store, "version demo nobody", "").await;
    assert_eq!(ran.out, "patronictl version 4.1.5\n\n");
}

#[tokio::test]
async fn a_query_without_a_member_or_a_statement_says_so() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "query -m nobody -c SELECT", "").await;
    assert!(ran.ok, "{ran:?}");
    assert!(
        ran.out
            .ends_with("\tNo connection to member nobody is available\n"),
        "{ran:?}"
    );
    let ran = run(&store, "query -r standby-leader -c SELECT", "").await;
    assert!(
        ran.out
            .ends_with("\tNo connection to role 'standby-leader' is available\n"),
        "{ran:?}"
    );
    // a question for a password is not among the rows
    let ran = run(&store, "query --password -m nobody -c SELECT", " pw \n").await;
    assert!(
        ran.err == "Password: " && !ran.out.contains("Password"),
        "{ran:?}"
    );
    let ran = run(&store, "query -f /no/such.sql", "").await;
    assert!(
        !ran.ok && ran.err.contains("/no/such.sql") && ran.out.is_empty(),
        "{ran:?}"
    );
    for (line, why) in [
        ("query", "You need to specify either --command or --file"),
        (
            "query -c SELECT -f -",
            "--file and --command are mutually exclusive options",
        ),
    ] {
        let ran = run(&store, line, "").await;
        assert_eq!(
            (ran.ok, ran.err),
            (false, format!("Error: {why}\n")),
            "{line}"
        );
    }
}

//! Names, order and values of contract §17.

use pgherd_domain::{HookEnd, ZonePolicy};

use super::*;
use crate::member::samples::{Sample, primary, replica};

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../docs/reference/metrics.md"
);

const INTRODUCTION: &str = "\
# Metrics

`GET /metrics` answers in the text format of Prometheus. This page is written from what it answers;
`UPDATE=1 cargo test -p pgherd-api` writes it anew.

Every sample has the labels `scope` and `name`, in this order. *as* says whose word a metric is: **Patroni**'s, with the
same name, type and meaning, or **ours**. Comments under HELP are in our own words.

| metric | type | further labels | meaning | as |
|---|---|---|---|---|
";

/// What Patroni 4.1.5 does not have, under the names that its documentation or our own keys give.
const OURS: [&str; 4] = [
    "patroni_failsafe_mode_enabled",
    "patroni_failsafe_member",
    "patroni_failover_priority",
    "pgherd_",
];

fn in_two_zones() -> ZonePolicy {
    ZonePolicy {
        label: "zone".into(),
        at_least: 2,
        degrade_after: None,
    }
}

fn page() -> String {
    let mut sample = primary();
    sample.hook_ended(HookEnd::Succeeded);
    sample.keeps_a_slot();
    sample.spec.synchronous_mode = SyncMode::On;
    sample.spec.zones = Some(in_two_zones());
    let answered = text(&sample.facts());
    let mut page = INTRODUCTION.to_owned();
    let lines: Vec<&str> = answered.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some((name, meaning)) = line
            .strip_prefix("# HELP ")
            .and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let kind = format!("# TYPE {name} ");
        let behind = &lines[at..];
        let kind = behind
            .iter()
            .find_map(|line| line.strip_prefix(&kind))
            .unwrap();
        let of_metric = format!("{name}{{scope=\"demo\",name=\"a\"");
        let labels = behind
            .iter()
            .find_map(|line| line.strip_prefix(&of_metric))
            .unwrap();
        let (labels, _) = labels.split_once('}').unwrap();
        let labels: Vec<String> = labels
            .split(',')
            .filter_map(|label| Some(format!("`{}`", label.split_once('=')?.0)))
            .collect();
        let is_ours = OURS.iter().any(|ours| name.starts_with(ours));
        page.push_str(&format!(
            "| `{name}` | {kind} | {} | {meaning} | {} |\n",
            labels.join(", "),
            if is_ours { "ours" } else { "Patroni" }
        ));
    }
    page.push_str(&format!(
        "\nNumbers of `patroni_postgres_state`:{}; -1 when PostgreSQL runs and does not answer.\n",
        state_values().trim_end().strip_prefix("# Values:").unwrap()
    ));
    page
}

#[test]
fn the_reference_of_metrics_is_as_written() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(page == written, "run `UPDATE=1 cargo test -p pgherd-api`");
}

/// The samples as `name value`, without the prefix and the labels.
fn samples(sample: &Sample) -> Vec<String> {
    text(&sample.facts())
        .lines()
        .filter(|line| line.starts_with("patroni_"))
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap();
            let (_, value) = rest.split_once("} ").unwrap();
            format!("{} {value}", name.strip_prefix("patroni_").unwrap())
        })
        .collect()
}

#[test]
fn a_server_that_is_closed_to_clients_says_so() {
    let gauge = |closed: Option<&str>| {
        let mut sample = primary();
        sample.spec.synchronous_mode = SyncMode::On;
        sample.member.closed = closed.map(str::to_owned);
        let text = text(&sample.facts());
        let line = text.lines().find(|line| line.starts_with("pgherd_closed"));
        line.and_then(|line| line.chars().last())
    };
    assert_eq!(gauge(Some("closed to clients until b has it")), Some('1'));
    assert_eq!(gauge(None), Some('0'));
}

#[test]
fn a_primary_has_every_sample_in_order() {
    let wanted = "version 040105|postgres_running 1|postmaster_start_time 1724873966.352526|primary 1|\
                  xlog_location 1000|standby_leader 0|replica 0|sync_standby 0|quorum_standby 0|\
                  xlog_received_location 0|xlog_replayed_location 0|\
                  xlog_replayed_timestamp 0|xlog_paused 0|postgres_streaming 0|\
                  postgres_in_archive_recovery 0|postgres_server_version 150018|cluster_unlocked 0|\
                  failsafe_mode_is_active 0|failsafe_mode_enabled 0|failsafe_member 0|postgres_timeline 3|\
                  dcs_last_seen 1795486355|pending_restart 0|is_paused 0|postgres_state 5|\
                  failover_priority 1";
    assert_eq!(samples(&primary()), wanted.split('|').collect::<Vec<_>>());
}

#[test]
fn how_hooks_went_is_counted() {
    let mut sample = primary();
    sample.hook_ended(HookEnd::Succeeded);
    sample.hook_ended(HookEnd::Failed("exit status: 1".to_owned()));
    sample.hook_ended(HookEnd::Succeeded);
    let text = text(&sample.facts());
    for line in [
        "# TYPE pgherd_hook_runs_total counter",
        r#"pgherd_hook_runs_total{scope="demo",name="a",hook="on_role_change",end="failed"} 1"#,
        r#"pgherd_hook_runs_total{scope="demo",name="a",hook="on_role_change",end="succeeded"} 2"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}

#[test]
fn every_sample_is_described_and_labelled() {
    let text = text(&replica().facts());
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("# Values: "))
        .collect();
    for triple in lines.chunks(3) {
        let name = triple[2].split_once('{').unwrap().0;
        assert!(
            triple[0].starts_with(&format!("# HELP {name} ")),
            "{triple:?}"
        );
        assert!(
            triple[1].starts_with(&format!("# TYPE {name} ")),
            "{triple:?}"
        );
        assert!(
            triple[2].contains(r#"{scope="demo",name="b"} "#),
            "{triple:?}"
        );
    }
    assert!(
        text.contains("# Values: 0=initdb, 1=initdb_failed, "),
        "{text}"
    );
}

#[test]
fn a_synchronous_replica_and_a_mute_server_show_it() {
    let mut sample = replica();
    sample.list_in_sync();
    sample.spec.synchronous_mode = SyncMode::On;
    let found = samples(&sample);
    for wanted in [
        "primary 0",
        "replica 1",
        "sync_standby 1",
        "quorum_standby 0",
        "postgres_streaming 1",
    ] {
        assert!(
            found.iter().any(|line| line == wanted),
            "{wanted} is not in {found:?}"
        );
    }
    sample.live = None;
    assert!(
        samples(&sample)
            .iter()
            .any(|line| line == "postgres_state -1")
    );
}

#[test]
fn a_slot_tells_what_it_keeps_and_what_it_may_keep() {
    let mut sample = replica();
    sample.keeps_a_slot();
    let answered = text(&sample.facts());
    for line in [
        r#"pgherd_slot_retained_bytes{scope="demo",name="b",slot="node1"} 100"#,
        r#"pgherd_slot_lost{scope="demo",name="b",slot="node1"} 0"#,
        r#"pgherd_slot_budget_bytes{scope="demo",name="b"} 1000000"#,
    ] {
        assert!(answered.contains(line), "{line} is not in\n{answered}");
    }
}

#[test]
fn the_leader_warns_of_what_would_keep_a_synchronous_mode_from_going_on() {
    let mut sample = primary();
    assert!(!text(&sample.facts()).contains("pgherd_synchronous"));
    sample.spec.synchronous_mode = SyncMode::Quorum;
    sample.spec.synchronous_node_count = 9;
    let answered = text(&sample.facts());
    let missing = "pgherd_synchronous_nodes_missing{scope=\"demo\",name=\"a\"} 1\n";
    assert!(answered.contains(missing), "{answered}");
    assert!(!answered.contains("_zones_"), "nobody asks for zones");
    sample.spec.zones = Some(in_two_zones());
    let answered = text(&sample.facts());
    for line in ["zones_missing", "zones_degraded"] {
        let line = format!("pgherd_synchronous_{line}{{scope=\"demo\",name=\"a\"}} 0\n");
        assert!(answered.contains(&line), "{answered}");
    }
}

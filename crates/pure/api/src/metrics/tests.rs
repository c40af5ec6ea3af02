//! Names, order and values of contract §17.

use super::*;
use crate::member::samples::{Sample, primary, replica};

/// The samples as `name value`, without the prefix and the labels.
fn samples(sample: &Sample) -> Vec<String> {
    text(&sample.facts())
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap();
            let (_, value) = rest.split_once("} ").unwrap();
            format!("{} {value}", name.strip_prefix("patroni_").unwrap())
        })
        .collect()
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

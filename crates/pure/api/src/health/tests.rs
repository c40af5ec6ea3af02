//! The table of contract §16.3, row by row.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{PgRole, PgState, SyncMode, Tags};
use serde_json::json;

use super::*;
use crate::member::samples::{Sample, primary, replica};

/// Which of the checks a member passes.
fn passed(sample: &Sample, checks: &str) -> Vec<String> {
    let facts = sample.facts();
    checks
        .split(' ')
        .filter(|url| {
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            passes(Check::of_path(path), &Query::parse(query), &facts)
        })
        .map(str::to_owned)
        .collect()
}

const ALL: &str = "/ /primary /master /read-write /standby-leader /standby_leader /leader /replica /read-only \
                   /health /synchronous /sync /quorum /asynchronous /async /read-only-sync \
                   /read-only-synchronous /read-only-quorum /other /config";

#[track_caller]
fn assert_passes(sample: &Sample, wanted: &str) {
    assert_eq!(passed(sample, ALL).join(" "), wanted);
}

#[test]
fn a_leader_passes_the_checks_of_leaders() {
    assert_passes(
        &primary(),
        "/ /primary /master /read-write /leader /read-only /health /read-only-sync \
         /read-only-synchronous /read-only-quorum",
    );
}

#[test]
fn a_primary_whose_lease_ran_out_is_none_any_more() {
    let mut sample = primary();
    sample.leads = false;
    assert_passes(&sample, "/health");
}

#[test]
fn nobody_is_sent_to_a_server_that_is_closed_to_clients() {
    for mut sample in [primary(), replica()] {
        sample.member.closed = Some("closed to clients until b has it".into());
        assert_passes(&sample, "/health");
        assert!(!is_ready(&Query::parse(""), &sample.facts()));
        assert!(is_alive(&sample.facts()));
    }
}

#[test]
fn the_leader_of_a_standby_cluster_is_no_primary() {
    let mut sample = replica();
    (sample.leads, sample.standby_cluster, sample.role) = (true, true, PgRole::StandbyLeader);
    assert_passes(
        &sample,
        "/standby-leader /standby_leader /leader /read-only /health /read-only-sync \
         /read-only-synchronous /read-only-quorum",
    );
}

#[test]
fn a_replica_passes_by_its_place_in_sync() {
    let mut sample = replica();
    assert_passes(&sample, "/replica /read-only /health /asynchronous /async");

    sample.list_in_sync();
    sample.spec.synchronous_mode = SyncMode::On;
    assert_passes(
        &sample,
        "/replica /read-only /health /synchronous /sync /read-only-sync /read-only-synchronous",
    );
    sample.spec.synchronous_mode = SyncMode::Quorum;
    assert_passes(
        &sample,
        "/replica /read-only /health /quorum /read-only-quorum",
    );

    sample.cluster = None;
    assert_passes(&sample, "/replica /read-only /health");
}

#[test]
fn a_replica_out_of_service_is_only_healthy_or_not_even_that() {
    let mut sample = replica();
    sample.spec.tags.noloadbalance = true;
    assert_passes(&sample, "/health");
    sample.state = PgState::Starting;
    assert_passes(&sample, "");
}

#[test]
fn a_paused_member_without_the_store_answers_by_its_role() {
    let mut sample = primary();
    (sample.leads, sample.spec.pause) = (false, true);
    assert_eq!(passed(&sample, "/primary"), Vec::<String>::new());
    sample.cluster = None;
    assert_eq!(
        passed(&sample, "/primary /leader /replica"),
        ["/primary", "/leader"]
    );
}

#[test]
fn paths_are_matched_by_their_parts_in_the_contracts_order() {
    for (path, check) in [
        ("", Check::Primary),
        ("/", Check::Primary),
        ("//", Check::Primary),
        ("/primary/x", Check::Primary),
        ("/my-standby-leader", Check::StandbyLeader),
        ("/leader-replica", Check::Leader),
        ("/primary-replica", Check::Primary),
        ("/replica/", Check::Replica),
        ("/read-only", Check::ReadOnly),
        ("/read-only-sync", Check::ReadOnlySync),
        ("//read-only-sync", Check::ReadOnlySync),
        ("/read-only-sync/", Check::Nothing),
        ("/healthz", Check::Health),
        ("/sync", Check::Synchronous),
        ("/sync/x", Check::Nothing),
        ("/async/", Check::Nothing),
        ("/synchronously", Check::Nothing),
        ("/async", Check::Asynchronous),
        ("/read-only-quorum", Check::ReadOnlyQuorum),
        ("/quorums", Check::Nothing),
    ] {
        assert_eq!(Check::of_path(path), check, "{path}");
    }
}

#[test]
fn lag_counts_from_the_further_of_the_two_known_ends() {
    let mut sample = replica();
    sample.set_positions(900, 800, 1_000);
    sample.set_optime(1_200);
    assert_eq!(
        passed(
            &sample,
            "/replica?lag=399 /replica?lag=400 /replica?lag=1kB /replica?lag=oops"
        ),
        ["/replica?lag=400", "/replica?lag=1kB", "/replica?lag=oops"]
    );
    sample.set_positions(900, 800, 1_300);
    assert_eq!(
        passed(&sample, "/replica?lag=499 /replica?lag=500"),
        ["/replica?lag=500"]
    );
    sample.set_positions(1_300, 1_300, 1_300);
    assert_eq!(
        passed(&sample, "/replica?lag=0 /replica?lag=-1"),
        ["/replica?lag=0"]
    );
}

#[test]
fn the_replication_state_and_tags_can_be_asked_for() {
    let mut sample = replica();
    let tags = BTreeMap::from([
        ("dc".to_owned(), json!("East")),
        ("clonefrom".to_owned(), json!(true)),
        ("weight".to_owned(), json!(3)),
    ]);
    sample.spec.tags = Tags::from_published(&tags);
    let asked = "/replica?replication_state=streaming /replica?replication_state=in%20archive%20recovery \
                 /replica?tag_dc=East /replica?tag_dc=east /health?tag_clonefrom=true /health?tag_clonefrom=True \
                 /async?tag_weight=3 /async?tag_none=1 /replica?tag_dc=East&tag_weight=4";
    assert_eq!(
        passed(&sample, asked),
        [
            "/replica?replication_state=streaming",
            "/replica?replication_state=in%20archive%20recovery",
            "/replica?tag_dc=East",
            "/health?tag_clonefrom=true",
            "/async?tag_weight=3"
        ]
    );
    assert_eq!(
        passed(&primary(), "/primary?tag_dc=x /health?tag_dc=x"),
        ["/primary?tag_dc=x"]
    );
}

#[test]
fn the_loop_may_be_late_by_ttl_and_twice_that_without_a_primary() {
    for (sample, paused, seconds, alive) in [
        (primary(), false, 40, true),
        (primary(), false, 41, false),
        (primary(), true, 9_999, true),
        (replica(), false, 70, true),
        (replica(), false, 71, false),
    ] {
        let mut sample = sample;
        sample.spec.pause = paused;
        sample.turn_age = Duration::from_secs(seconds);
        assert_eq!(is_alive(&sample.facts()), alive, "{seconds}");
    }
}

#[test]
fn a_member_is_ready_when_it_leads_or_streams_near_the_end() {
    let ready = |sample: &Sample, query: &str| is_ready(&Query::parse(query), &sample.facts());
    assert!(ready(&primary(), ""));

    let mut sample = replica();
    sample.set_positions(5_000_000, 1_000_000, 5_000_000);
    sample.set_optime(5_000_000);
    assert!(!ready(&sample, ""));
    assert!(ready(&sample, "mode=write"));
    assert!(ready(&sample, "lag=4000000"));
    assert!(!ready(&sample, "lag=3999999&mode=apply"));

    // nobody knows where the leader's WAL ends
    sample.set_positions(5_000_000, 5_000_000, 0);
    sample.cluster = None;
    assert!(!ready(&sample, ""));

    let mut sample = replica();
    sample.stop_streaming();
    assert!(!ready(&sample, "lag=1GB"));
}

//! The codes and texts of contract §16.7, row by row.

use std::time::Duration;

use pgherd_domain::documents::{FailoverDoc, MemberDoc, SyncDoc};
use pgherd_domain::{ClusterView, LeaderKey, MemberName, Operation, PgRole, Versioned, WallTime};
use serde_json::{Map, Value, json};

use super::*;
use crate::wanted::Wanted;

/// 2026-11-24T00:00:00Z
const NOW: WallTime = WallTime::from_micros(1_795_478_400_000_000);

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn body(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

/// `a` leads, `b` and `c` follow; `c` does not want to lead.
fn view(config: Value) -> ClusterView {
    let member = |url: &str, tags: &str| {
        MemberDoc::parse(&format!(
            r#"{{"api_url": "{url}", "conn_url": "", "tags": {tags}}}"#
        ))
    };
    ClusterView {
        leader: Some(LeaderKey {
            name: name("a"),
            revision: 5,
            on_my_lease: false,
        }),
        members: [
            (name("a"), member("http://a", "{}")),
            (name("b"), member("http://b", "{}")),
            (name("c"), member("http://c", r#"{"nofailover": true}"#)),
        ]
        .into(),
        config: Some(Versioned {
            value: config,
            revision: 1,
        }),
        ..ClusterView::default()
    }
}

fn order(path: SwitchKind, text: &str, view: &ClusterView) -> Result<SwitchOrder, Rejection> {
    SwitchOrder::check(path, &body(text), view, &Wanted::of(view), NOW)
}

#[test]
fn bodies_are_objects() {
    assert_eq!(required(None), Err(Rejection::Page(411)));
    for text in ["", "x", "[]", "1", "{}"] {
        assert_eq!(
            required(Some(text.as_bytes())),
            Err(Rejection::Page(400)),
            "{text}"
        );
    }
    assert_eq!(optional(None), Ok(Map::new()));
    assert_eq!(optional(Some(b"")), Ok(Map::new()));
    assert_eq!(optional(Some(b"[]")), Err(Rejection::Page(400)));
    assert_eq!(optional(Some(b"{\"a\": 1}")), Ok(body(r#"{"a": 1}"#)));
}

/// Path, configuration, body, code and words.
const REFUSED: &str = r#"
failover   | plain  | {"leader": "a"}                                               | 400 | Failover could be performed only to a specific candidate
switchover | plain  | {"x": 1}                                                      | 400 | Switchover could be performed only from a specific leader
failover   | plain  | {"candidate": "b", "scheduled_at": "2027-01-01T10:00:00Z"}    | 400 | Failover can't be scheduled
failover   | plain  | {"leader": "a", "candidate": "b", "scheduled_at": "2027-01-01T10:00:00Z"} | 400 | Failover can't be scheduled
failover   | plain  | {"candidate": "b", "scheduled_at": 5}                         | 400 | Failover can't be scheduled
switchover | plain  | {"leader": "a", "scheduled_at": 5}                            | 422 | Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601
switchover | plain  | {"leader": "a", "scheduled_at": false}                        | 422 | Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601
switchover | plain  | {"leader": 1}                                                 | 412 | leader name does not match
switchover | plain  | {"leader": "a", "candidate": 1}                               | 412 | candidate does not exists
switchover | plain  | {"leader": "a", "candidate": null, "member": ["b"]}           | 412 | candidate does not exists
failover   | plain  | {"candidate": {}}                                             | 412 | candidate does not exists
switchover | paused | {"leader": "a", "scheduled_at": "2027-01-01T10:00:00Z"}       | 400 | Can't schedule switchover in the paused state
switchover | paused | {"leader": "a"}                                               | 400 | Switchover is possible only to a specific candidate in a paused state
switchover | plain  | {"leader": "a", "candidate": "a"}                             | 400 | Switchover target and source are the same
switchover | plain  | {"leader": "a", "scheduled_at": "2027-01-01T10:00:00"}        | 400 | Timezone information is mandatory for the scheduled switchover
switchover | plain  | {"leader": "a", "scheduled_at": "2020-01-01T10:00:00Z"}       | 422 | Cannot schedule switchover in the past
switchover | plain  | {"leader": "a", "scheduled_at": "soon"}                       | 422 | Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601
switchover | plain  | {"leader": "b"}                                               | 412 | leader name does not match
failover   | plain  | {"leader": "z", "candidate": "b"}                             | 412 | leader name does not match
switchover | plain  | {"leader": "a", "candidate": "z"}                             | 412 | candidate does not exists
failover   | plain  | {"candidate": "z"}                                            | 412 | candidate does not exists
switchover | sync   | {"leader": "a", "candidate": "b"}                             | 412 | candidate name does not match with sync_standby
switchover | sync   | {"leader": "a"}                                               | 412 | switchover is not possible: can not find sync_standby
switchover | alone  | {"leader": "a"}                                               | 412 | switchover is not possible: cluster does not have members except leader
"#;

#[test]
fn switchovers_and_failovers_are_refused_with_the_contracts_words() {
    for line in REFUSED.trim().lines() {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let [path, config, text, code, words] = cells[..] else {
            panic!("{line}");
        };
        let path = match path {
            "failover" => SwitchKind::Failover,
            _ => SwitchKind::Switchover,
        };
        let mut view = view(match config {
            "sync" => json!({"synchronous_mode": true}),
            "paused" => json!({"pause": true}),
            _ => json!({}),
        });
        if config == "alone" {
            view.members.retain(|member, _| *member == name("a"));
        }
        let refusal = order(path, text, &view).unwrap_err();
        assert_eq!(
            refusal,
            Rejection::text(code.parse().unwrap(), words),
            "{line}"
        );
    }
}

#[test]
fn an_order_names_whom_to_ask() {
    let view = view(json!({}));
    let asked = |order: &SwitchOrder| -> Vec<String> {
        order.ask.iter().map(|(_, url)| url.clone()).collect()
    };
    let found = order(SwitchKind::Switchover, r#"{"leader": "a"}"#, &view).unwrap();
    assert_eq!(asked(&found), ["http://b"]);
    assert_eq!(found.doc.render(), r#"{"leader":"a"}"#);
    assert_eq!(
        found.no_candidates(),
        Rejection::text(
            412,
            "switchover is not possible: no good candidates have been found"
        )
    );

    let found = order(SwitchKind::Failover, r#"{"member": "b"}"#, &view).unwrap();
    assert_eq!(
        (found.kind, found.doc.render()),
        (SwitchKind::Failover, r#"{"member":"b"}"#.to_owned())
    );

    let text = r#"{"leader": "a", "candidate": "b"}"#;
    assert_eq!(
        order(SwitchKind::Failover, text, &view).unwrap().kind,
        SwitchKind::Switchover
    );

    let text = r#"{"leader": "a", "candidate": "b", "scheduled_at": "2027-01-01T10:00:00+02:00"}"#;
    let found = order(SwitchKind::Switchover, text, &view).unwrap();
    assert_eq!(asked(&found), Vec::<String>::new());
    assert_eq!(
        found.doc.render(),
        r#"{"leader":"a","member":"b","scheduled_at":"2027-01-01T10:00:00+02:00"}"#
    );
}

#[test]
fn synchronous_mode_binds_switchovers_but_not_failovers() {
    let mut view = view(json!({"synchronous_mode": true}));
    let value = SyncDoc::parse(r#"{"leader": "a", "sync_standby": "c"}"#);
    view.sync = Some(Versioned { value, revision: 1 });
    assert!(
        order(
            SwitchKind::Switchover,
            r#"{"leader": "a", "candidate": "c"}"#,
            &view
        )
        .is_ok()
    );
    assert!(order(SwitchKind::Failover, r#"{"candidate": "b"}"#, &view).is_ok());
    // the only synchronous standby does not want to lead
    let found = order(SwitchKind::Switchover, r#"{"leader": "a"}"#, &view).unwrap();
    assert_eq!(found.ask, []);
}

#[test]
fn what_came_of_an_order_is_read_from_the_cluster() {
    let before = view(json!({}));
    let switchover = order(SwitchKind::Switchover, r#"{"leader": "a"}"#, &before).unwrap();
    let to_b = order(
        SwitchKind::Switchover,
        r#"{"leader": "a", "candidate": "b"}"#,
        &before,
    )
    .unwrap();
    let failover = order(SwitchKind::Failover, r#"{"candidate": "b"}"#, &before).unwrap();
    let now = |leader: Option<&str>, pending: bool| {
        let mut view = before.clone();
        view.leader = leader.map(|text| LeaderKey {
            name: name(text),
            revision: 9,
            on_my_lease: false,
        });
        view.failover = FailoverDoc::parse(r#"{"leader": "a"}"#)
            .filter(|_| pending)
            .map(|value| Versioned { value, revision: 8 });
        view
    };
    let done = |text: &str| Outcome::Done(text.to_owned());
    let failed = |text: &str| Outcome::Failed(text.to_owned());
    for (order, leader, pending, outcome) in [
        (
            &switchover,
            Some("c"),
            true,
            done("Successfully switched over to \"c\""),
        ),
        (
            &to_b,
            Some("b"),
            false,
            done("Successfully switched over to \"b\""),
        ),
        (
            &to_b,
            Some("c"),
            false,
            done("Switched over to \"c\" instead of \"b\""),
        ),
        (
            &failover,
            Some("b"),
            false,
            done("Successfully failed over to \"b\""),
        ),
        (
            &failover,
            Some("c"),
            false,
            done("Failed over to \"c\" instead of \"b\""),
        ),
        (&to_b, Some("a"), true, Outcome::Open),
        (&to_b, None, true, Outcome::Open),
        (&to_b, None, false, Outcome::Open),
        (&to_b, Some("a"), false, failed("Switchover failed")),
        (&failover, Some("a"), false, failed("Failover failed")),
    ] {
        assert_eq!(
            judge(order, &now(leader, pending)),
            outcome,
            "{leader:?} {pending}"
        );
    }
}

#[test]
fn restarts_carry_their_conditions() {
    let text = r#"{"role": "replica", "postgres_version": "15.9", "timeout": "1min",
                   "restart_pending": true, "schedule": "2027-01-01T10:00:00+01:00"}"#;
    let Operation::Restart {
        role,
        older_than,
        only_pending,
        timeout,
        schedule,
    } = restart(&body(text), false, NOW).unwrap()
    else {
        panic!("not a restart");
    };
    assert_eq!(
        (role, older_than, only_pending),
        (Some(PgRole::Replica), Some(150_009), true)
    );
    assert_eq!(timeout, Some(Duration::from_secs(60)));
    let (text, at) = schedule.unwrap();
    assert_eq!(text, "2027-01-01T10:00:00+01:00");
    assert_eq!(at.iso(), "2027-01-01T09:00:00.000000+00:00");
}

#[test]
fn restarts_are_refused_with_the_contracts_words() {
    let role = "PostgreSQL role should be either primary, standby_leader, or replica";
    let timeout = "Timeout should be a positive number of seconds";
    let later = r#"{"schedule": "2027-01-01T10:00:00Z"}"#;
    let unread =
        "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601";
    for (text, paused, code, words) in [
        (r#"{"role": "x"}"#, false, 400, role),
        (r#"{"role": "demoted"}"#, false, 400, role),
        (r#"{"role": "master"}"#, false, 400, role),
        (r#"{"timeout": "-1"}"#, false, 400, timeout),
        (r#"{"timeout": 0}"#, false, 400, timeout),
        (r#"{"timeout": "abc"}"#, false, 400, timeout),
        (
            r#"{"postgres_version": "abc"}"#,
            false,
            400,
            "Invalid PostgreSQL version: abc",
        ),
        (
            r#"{"zz": 1}"#,
            false,
            400,
            "Unknown filter for the scheduled restart: zz",
        ),
        (
            later,
            true,
            500,
            "Can't schedule restart in the paused state",
        ),
        (
            r#"{"schedule": "2020-01-01T10:00:00Z"}"#,
            false,
            422,
            "Cannot schedule restart in the past",
        ),
        (r#"{"schedule": null}"#, false, 422, unread),
        (r#"{"schedule": 5}"#, false, 422, unread),
        (
            r#"{"schedule": "2027-01-01T10:00:00"}"#,
            false,
            400,
            "Timezone information is mandatory for the scheduled restart",
        ),
    ] {
        let refusal = restart(&body(text), paused, NOW).unwrap_err();
        assert_eq!(refusal, Rejection::text(code, words), "{text}");
    }
    assert!(restart(&Map::new(), true, NOW).is_ok());
}

#[test]
fn versions_are_numbers_as_postgresql_counts_them() {
    for (text, number) in [
        ("15.3", 150_003),
        ("9.5.2", 90_502),
        (" 10.1 ", 100_001),
        ("15.3.1", 150_301),
    ] {
        assert_eq!(version_num(text), Ok(number), "{text}");
    }
    for (text, why) in [
        ("15", "format: X.Y or X.Y.Z is accepted: 15"),
        ("9.6", "format: X.Y or X.Y.Z is accepted: 9.6"),
        ("-1", "format: X.Y or X.Y.Z is accepted: -1"),
        ("15.-3", "format: X.Y or X.Y.Z is accepted: 15.-3"),
        ("1.2.3.4", "format: X.Y or X.Y.Z is accepted: 1.2.3.4"),
        ("", ": "),
        ("15.x", ": 15.x"),
    ] {
        let separator = if why.starts_with(':') { "" } else { " " };
        let wanted = format!("Invalid PostgreSQL version{separator}{why}");
        assert_eq!(version_num(text), Err(wanted), "{text}");
    }
}

#[test]
fn anything_but_nothing_asks_for_a_pending_restart() {
    for (given, wanted) in [
        ("true", true),
        (r#""maybe""#, true),
        ("1", true),
        ("[0]", true),
        ("false", false),
        ("null", false),
        ("0", false),
        (r#""""#, false),
        ("[]", false),
        ("{}", false),
    ] {
        let order = restart(
            &body(&format!(r#"{{"restart_pending": {given}}}"#)),
            false,
            NOW,
        );
        let Ok(Operation::Restart { only_pending, .. }) = order else {
            panic!("{given}: {order:?}");
        };
        assert_eq!(only_pending, wanted, "{given}");
    }
}

#[test]
fn reinitialize_takes_its_two_flags() {
    assert_eq!(
        reinitialize(&body(r#"{"force": true}"#)),
        Operation::Reinitialize {
            force: true,
            from_leader: false
        }
    );
    assert_eq!(
        reinitialize(&body(r#"{"from_leader": "yes", "force": []}"#)),
        Operation::Reinitialize {
            force: false,
            from_leader: true
        }
    );
}

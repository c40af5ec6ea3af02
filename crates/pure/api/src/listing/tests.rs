//! Whole tables, as patronictl prints them for the same keys.

use pgherd_domain::documents::{FailoverDoc, HistoryDoc, MemberDoc, StatusDoc, SyncDoc};
use pgherd_domain::{LeaderKey, Lsn, MemberName, Versioned};
use serde_json::{Value, json};

use super::*;

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn member(number: u32, rest: &str) -> (MemberName, MemberDoc) {
    let text = format!(r#"{{"conn_url":"postgres://10.0.0.{number}:5432/postgres",{rest}}}"#);
    (name(&format!("node{number}")), MemberDoc::parse(&text))
}

/// node1 leads, node2 is synchronous.
fn pair() -> ClusterView {
    let revision = 1;
    let value = SyncDoc::parse(r#"{"leader":"node1","quorum":0,"sync_standby":"node2"}"#);
    ClusterView {
        initialize: Some(Versioned {
            value: "7277694203142172922".into(),
            revision,
        }),
        leader: Some(LeaderKey {
            name: name("node1"),
            revision,
            on_my_lease: false,
        }),
        members: [
            member(
                1,
                r#""state":"running","role":"primary","timeline":3,"xlog_location":67108960"#,
            ),
            member(
                2,
                r#""state":"running","role":"replica","timeline":3,"replication_state":"streaming",
                   "receive_lsn":67108960,"replay_lsn":67108960"#,
            ),
        ]
        .into(),
        config: Some(Versioned {
            value: json!({"synchronous_mode": true}),
            revision,
        }),
        status: StatusDoc {
            optime: Some(Lsn::new(67_108_960)),
            ..StatusDoc::default()
        },
        sync: Some(Versioned { value, revision }),
        ..ClusterView::default()
    }
}

/// And three more, each with something to say.
fn crowd() -> ClusterView {
    let mut view = pair();
    view.members.extend([
        member(
            3,
            r#""state":"running","role":"replica","receive_lsn":65108960,"replay_lsn":60000000,"timeline":2,
               "replication_state":"in archive recovery","pending_restart":true,
               "tags":{"nofailover":true,"replicatefrom":"node2"},
               "pending_restart_reason":{"max_connections":{"old_value":"100","new_value":"200"},
                 "shared_preload_libraries":{"old_value":"a","new_value":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}},
               "scheduled_restart":{"schedule":"2026-12-01T10:00:00+00:00","postgres_version":"150009"}"#,
        ),
        member(4, r#""state":"creating replica","role":"uninitialized","pgherd":{"progress":"copying 4 of 9 MB"}"#),
        member(5, r#""state":"running","role":"replica","xlog_location":1000,"timeline":3"#),
    ]);
    view
}

#[test]
fn a_plain_list_has_the_title_in_its_upper_edge() {
    assert_eq!(
        members("demo", &pair(), Style::default(), Format::Pretty),
        "\
+ Cluster: demo (7277694203142172922) ---------+----+-------------+-----+------------+-----+
| Member | Host     | Role         | State     | TL | Receive LSN | Lag | Replay LSN | Lag |
+--------+----------+--------------+-----------+----+-------------+-----+------------+-----+
| node1  | 10.0.0.1 | Leader       | running   |  3 |             |     |            |     |
| node2  | 10.0.0.2 | Sync Standby | streaming |  3 |   0/4000060 |   0 |  0/4000060 |   0 |
+--------+----------+--------------+-----------+----+-------------+-----+------------+-----+
"
    );
}

#[test]
fn programs_get_names_for_both_lags_and_no_empty_values() {
    let view = pair();
    assert_eq!(
        members("demo", &view, Style::default(), Format::Tsv),
        "Cluster\tMember\tHost\tRole\tState\tTL\tReceive LSN\tReceive Lag\tReplay LSN\tReplay Lag\n\
         demo\tnode1\t10.0.0.1\tLeader\trunning\t3\t\t\t\t\n\
         demo\tnode2\t10.0.0.2\tSync Standby\tstreaming\t3\t0/4000060\t0\t0/4000060\t0\n"
    );
    assert_eq!(
        members("demo", &view, Style::default(), Format::Json),
        concat!(
            r#"[{"Cluster": "demo", "Member": "node1", "Host": "10.0.0.1", "Role": "Leader", "#,
            r#""State": "running", "TL": 3}, {"Cluster": "demo", "Member": "node2", "Host": "10.0.0.2", "#,
            r#""Role": "Sync Standby", "State": "streaming", "TL": 3, "Receive LSN": "0/4000060", "#,
            r#""Receive Lag": 0, "Replay LSN": "0/4000060", "Replay Lag": 0}]"#,
            "\n"
        )
    );
    assert!(members("demo", &view, Style::default(), Format::Yaml).starts_with(
        "- Cluster: demo\n  Host: 10.0.0.1\n  Member: node1\n  Role: Leader\n  State: running\n  TL: 3\n- Cluster"
    ));
}

#[test]
fn columns_appear_when_a_member_has_something_in_them() {
    let names = |view: &ClusterView, style: Style| -> Vec<String> {
        table("demo", view, style)
            .columns
            .into_iter()
            .map(|column| column.name.into_owned())
            .skip(10)
            .collect()
    };
    let extended = Style {
        extended: true,
        ..Style::default()
    };
    let four = [
        "Pending restart",
        "Pending restart reason",
        "Scheduled restart",
        "Tags",
    ];
    assert_eq!(names(&pair(), Style::default()), Vec::<&str>::new());
    assert_eq!(names(&pair(), extended), four);
    assert_eq!(
        names(&crowd(), Style::default()),
        [&four[..], &["Progress"]].concat()
    );
}

#[test]
fn cells_of_several_lines_bring_rules_between_rows() {
    let text = members("demo", &crowd(), Style::default(), Format::Pretty);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("+--")).count(),
        6,
        "{text}"
    );
    let row = |start: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(start))
            .unwrap()
    };
    let node3 = row("| node3");
    for (line, part) in [
        (
            node3,
            "| in archive recovery |  2 |   0/3E17BE0 |   2 |  0/3938700 |   7 | *               | max_connections: 100->200 ",
        ),
        (
            node3,
            "| 2026-12-01T10:00:00+00:00 if version < 15.9 | nofailover: true     |",
        ),
        (
            node3 + 1,
            "| shared_preload_libraries: [hidden - too long] |",
        ),
        (node3 + 1, "| replicatefrom: node2 |"),
        (
            row("| node4"),
            "| creating replica    |    |     unknown |     |    unknown |     |",
        ),
        (row("| node4"), "| copying 4 of 9 MB |"),
        (
            row("| node5"),
            "| running             |  3 |     unknown |     |      0/3E8 |  64 |",
        ),
    ] {
        assert!(
            lines[line].contains(part),
            "{part} is not in line {line} of\n{text}"
        );
    }
}

#[test]
fn a_tree_shows_who_replicates_from_whom() {
    let tree = Style {
        tree: true,
        ..Style::default()
    };
    let order = |view: &ClusterView| -> Vec<String> {
        let column = |row: &Value| row["Member"].as_str().unwrap().to_owned();
        table("demo", view, tree)
            .value(true)
            .as_array()
            .unwrap()
            .iter()
            .map(column)
            .collect()
    };
    let mut view = crowd();
    assert_eq!(
        order(&view),
        ["node1", "+ node2", "  + node3", "+ node4", "+ node5"]
    );
    let text = members("demo", &view, tree, Format::Pretty);
    assert!(
        text.contains("{nofailover: true, replicatefrom: node2}"),
        "{text}"
    );

    view.leader = None;
    assert_eq!(
        order(&view),
        ["+ node1", "+ node2", "  + node3", "+ node4", "+ node5"]
    );

    // two that replicate from each other are shown all the same
    let circle = [("replicatefrom".to_owned(), json!("node3"))];
    view.members.get_mut(&name("node2")).unwrap().tags = circle.into();
    assert_eq!(
        order(&view),
        ["+ node1", "+ node4", "+ node5", "+ node2", "+ node3"]
    );
}

#[test]
fn ports_are_shown_when_they_say_something() {
    let mut view = pair();
    let hosts =
        |view: &ClusterView| table("demo", view, Style::default()).value(true)[1]["Host"].clone();
    assert_eq!(hosts(&view), "10.0.0.2");
    view.members.get_mut(&name("node1")).unwrap().conn_url = "postgres://10.0.0.2:5432/x".into();
    assert_eq!(hosts(&view), "10.0.0.2:5432");
    view.members.get_mut(&name("node1")).unwrap().conn_url = "postgres://10.0.0.1:5433/x".into();
    assert_eq!(hosts(&view), "10.0.0.2:5432");
}

#[test]
fn what_is_planned_stands_below_the_table() {
    let mut view = pair();
    view.config = Some(Versioned {
        value: json!({"pause": true}),
        revision: 1,
    });
    let order = r#"{"leader":"node1","member":"node2","scheduled_at":"2026-12-01T10:00:00+00:00"}"#;
    view.failover = FailoverDoc::parse(order).map(|value| Versioned { value, revision: 1 });
    let text = members("demo", &view, Style::default(), Format::Pretty);
    let below = text.split_once("\n Maint").unwrap().1;
    assert_eq!(
        below,
        "enance mode: on\n Switchover scheduled at: 2026-12-01T10:00:00+00:00\n\
         \x20                   from: node1\n                      to: node2\n"
    );
}

#[test]
fn an_empty_cluster_has_a_table_too() {
    let text = members(
        "other",
        &ClusterView::default(),
        Style::default(),
        Format::Pretty,
    );
    assert!(
        text.starts_with("+ Cluster: other (uninitialized) ---+-------------+-----+"),
        "{text}"
    );
    assert_eq!(
        members(
            "other",
            &ClusterView::default(),
            Style::default(),
            Format::Json
        ),
        "[]\n"
    );
    let initialize = Some(Versioned {
        value: String::new(),
        revision: 1,
    });
    let view = ClusterView {
        initialize,
        ..ClusterView::default()
    };
    let text = members(
        "a-name-that-is-wider-than-the-table-by-far-and-then-some",
        &view,
        Style::default(),
        Format::Pretty,
    );
    let widths: Vec<usize> = text.lines().map(str::len).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
}

#[test]
fn history_keeps_its_empty_cells() {
    let doc = HistoryDoc::parse(
        r#"[[1,50331808,"no recovery target specified","2026-11-24T03:00:00.123456+00:00","node2"],
            [2,67108864,"before 2000-01-01 00:00:00+00"]]"#,
    );
    let table = history(doc.as_ref());
    assert_eq!(
        table.print(Format::Pretty, None, false),
        "\
+----+----------+-------------------------------+----------------------------------+------------+
| TL |      LSN | Reason                        | Timestamp                        | New Leader |
+----+----------+-------------------------------+----------------------------------+------------+
|  1 | 50331808 | no recovery target specified  | 2026-11-24T03:00:00.123456+00:00 | node2      |
|  2 | 67108864 | before 2000-01-01 00:00:00+00 |                                  |            |
+----+----------+-------------------------------+----------------------------------+------------+
"
    );
    assert_eq!(history(None).print(Format::Yaml, None, false), "[]\n\n");
    assert_eq!(
        table.value(false)[1],
        json!({"TL": 2, "LSN": 67_108_864, "Reason": "before 2000-01-01 00:00:00+00", "Timestamp": "", "New Leader": ""})
    );
}

#[test]
fn the_groups_of_a_citus_cluster_share_a_table() {
    let mut paused = pair();
    paused.config = Some(Versioned {
        value: json!({"pause": true}),
        revision: 1,
    });
    let all = [(0, paused), (2, pair())];
    let text = groups("demo", &all, Style::default(), Format::Pretty);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("+ Citus cluster: demo ---"), "{text}");
    assert!(lines[1].starts_with("| Group | Member | Host "), "{text}");
    assert!(
        lines[5].starts_with("|     2 | node1  | 10.0.0.1 "),
        "{text}"
    );
    assert_eq!(lines[8..], ["Citus group: 0", " Maintenance mode: on"]);
    let tsv = groups("demo", &all, Style::default(), Format::Tsv);
    assert!(tsv.starts_with("Cluster\tGroup\tMember\t"), "{tsv}");
    assert!(tsv.contains("\ndemo\t2\tnode2\t"), "{tsv}");
    let empty = groups("none", &[], Style::default(), Format::Pretty);
    assert!(empty.starts_with("+ Citus cluster: none --+"), "{empty}");
}

#[test]
fn a_slot_near_its_budget_stands_below_the_table() {
    let mut view = pair();
    view.config = Some(Versioned {
        value: json!({"pgherd": {"slot_budget": "100MB"}}),
        revision: 1,
    });
    view.status.optime = Some(Lsn::new(0x1000_0000));
    let keeps = |megabytes: u64| {
        let mut view = view.clone();
        let at = Lsn::new(0x1000_0000 - (megabytes << 20));
        view.status.slots.insert("cdc".into(), at);
        members("demo", &view, Style::default(), Format::Pretty)
    };
    assert!(keeps(80).ends_with(" Slot cdc keeps 80 MB of WAL, of 100 MB it may keep\n"));
    assert!(!keeps(70).contains("Slot cdc"));
}

#[test]
fn zones_that_commits_can_not_wait_for_stand_below_the_table() {
    let mut view = pair();
    let leader = view.leader_name().cloned().unwrap();
    let shortage = pgherd_domain::ZoneShortage {
        covered: 1,
        wanted: 2,
        waits: false,
    };
    let leader = view.members.get_mut(&leader).unwrap();
    leader.zones = Some(shortage);
    *leader = MemberDoc::parse(&leader.render());
    let text = members("demo", &view, Style::default(), Format::Pretty);
    let told = " Warning: commits are to be acknowledged in 2 zones, and only 1 can: commits go on without";
    assert!(text.contains(told), "{text}");
}

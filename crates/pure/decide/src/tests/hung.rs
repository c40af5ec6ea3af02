//! A restore_command or archive_command that does not end: told, and in nobody's way.

use pgherd_domain::{HungCommand, Operation, PgRole, PgState, StopMode, Work};

use super::build::{END, World, member, secs};

/// The replica `b`, which has been starting for two minutes because its restore_command does not end.
fn waits() -> World {
    let world = member("b")
        .replica(1, END)
        .starting(secs(120))
        .leader("a")
        .other("a", PgRole::Primary, 1);
    world.seen(|seen| {
        seen.postgres.hung = Some(HungCommand {
            setting: "restore_command",
            pid: 4712,
            file: Some("000000010000000000000003".into()),
        });
    })
}

#[test]
fn what_a_server_waits_for_is_told_and_shown() {
    let decision = waits().decide();
    assert_eq!(decision.state, PgState::Starting);
    let said: Vec<&str> = decision.notices.iter().map(|it| it.text.as_str()).collect();
    assert!(
        said[0].starts_with(
            "PostgreSQL waits for restore_command (process 4712), which does not end for 000000010000000000000003"
        ),
        "{said:?}"
    );
    let shown = decision.member.progress.unwrap();
    assert!(shown.starts_with("waits for restore_command"), "{shown}");
}

#[test]
fn an_order_to_make_the_replica_anew_gets_through() {
    let order = Operation::Reinitialize {
        force: false,
        from_leader: false,
    };
    let decision = waits().request(order).decide();
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
}

#[test]
fn an_order_to_stop_gets_through() {
    let decision = waits().seen(|seen| seen.shutdown = true).decide();
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Fast,
            ..
        })
    ));
}

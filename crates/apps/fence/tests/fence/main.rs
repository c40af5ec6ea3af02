//! The fence beside a real PostgreSQL: what it stops and when, and what it survives.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a failure is a panic, also in what its tests share"
)]

mod server;
mod tether;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use pgherd_domain::Moment;
use pgherd_fence::{FenceKeeper, Retired, Upkeep};
use rustix::process::Signal;

use crate::server::{Server, now, signal, wait_for};

/// From the deadline to the end of the lease.
const MARGIN: Duration = Duration::from_secs(2);
/// For what takes milliseconds, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The program that the tests start as the fence, built with them.
fn stand_in() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(|deps| deps.parent()).unwrap();
    let program = folder.join("examples/stand_in");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

fn keeper(server: &Server) -> FenceKeeper {
    FenceKeeper::start(&server.data_dir(), stand_in(), None).unwrap()
}

fn in_millis(millis: u64) -> Moment {
    now().plus(Duration::from_millis(millis))
}

/// Arms the fence for a moment that is near, and sees to it that the server is gone before the lease ends,
/// and not before the deadline.
fn ends_in_time(keeper: &mut FenceKeeper, server: &Server) {
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let deadline = in_millis(700);
    let before = server.backends();
    keeper.set(Some(deadline), MARGIN).unwrap();
    wait_for("the order is heard", SOON, || keeper.is_heard());
    if now() < deadline.minus(Duration::from_millis(100)) {
        assert!(
            !server.backends().is_empty(),
            "the deadline is still to come"
        );
    }
    let gone = server.gone(SOON);
    assert!(gone >= deadline, "{before:?} were stopped too early");
    let took = gone.since(deadline);
    assert!(took < MARGIN, "gone {took:?} after the deadline");
}

#[test]
fn a_primary_with_a_busy_backend_is_gone_before_the_lease_ends() {
    let mut server = Server::primary();
    let mut keeper = keeper(&server);
    server.busy();
    ends_in_time(&mut keeper, &server);
    assert_eq!(keeper.retire().unwrap(), Retired::Left);
}

#[test]
fn a_frozen_postmaster_and_its_backends_are_killed() {
    let mut server = Server::primary();
    let mut keeper = keeper(&server);
    let backend = server.busy();
    signal(backend, Signal::STOP);
    signal(server.postmaster(), Signal::STOP);
    ends_in_time(&mut keeper, &server);
    keeper.retire().unwrap();
}

#[test]
fn a_backend_that_outlives_its_postmaster_is_killed() {
    let mut server = Server::primary();
    let mut keeper = keeper(&server);
    let (postmaster, backend) = (server.postmaster(), server.busy());
    signal(backend, Signal::STOP);
    signal(postmaster, Signal::KILL);
    // Others may be left, too, waiting for a lock that the frozen one holds.
    wait_for("the frozen backend has outlived it", SOON, || {
        let left = server.backends();
        left.contains(&backend) && !left.contains(&postmaster)
    });
    ends_in_time(&mut keeper, &server);
    keeper.retire().unwrap();
}

#[test]
fn a_replica_is_left_alone_until_it_is_promoted() {
    let primary = Server::primary();
    let replica = primary.replica();
    let mut keeper = keeper(&replica);
    let pid = replica.postmaster();
    keeper.set(Some(now()), MARGIN).unwrap();
    wait_for("the order is heard", SOON, || keeper.is_heard());
    // Many looks at a deadline that has passed.
    let until = in_millis(1_000);
    wait_for("a second is over", SOON, || now() >= until);
    assert!(replica.answers() && replica.backends().contains(&pid));
    replica.promote();
    replica.gone(SOON);
    keeper.retire().unwrap();
}

#[test]
fn a_crashed_primary_comes_back_as_a_replica_under_a_deadline_that_passed() {
    let mut server = Server::primary();
    let mut keeper = keeper(&server);
    server.busy();
    server.killed();
    keeper.set(Some(now()), MARGIN).unwrap();
    wait_for("the order is heard", SOON, || keeper.is_heard());
    // Recovery waits for the archive before it writes its state: pg_control still says "in production".
    let (data_dir, go_on) = (server.data_dir(), server.data_dir().join("go_on"));
    let archive = r#"restore_command = 'until test -e go_on; do sleep 0.01; done; false'"#;
    let configuration = data_dir.join("postgresql.auto.conf");
    std::fs::write(configuration, format!("{archive}\n")).unwrap();
    std::fs::write(data_dir.join("standby.signal"), "").unwrap();
    server.start_unwatched();
    wait_for("it is starting", SOON, || {
        let text = std::fs::read_to_string(data_dir.join("postmaster.pid"));
        text.is_ok_and(|text| text.lines().nth(7).map(str::trim) == Some("starting"))
    });
    let until = in_millis(500);
    wait_for("many looks", SOON, || now() >= until);
    assert!(!server.has_exited(), "a replica that starts is no primary");
    std::fs::write(go_on, "").unwrap();
    wait_for("the replica answers", SOON, || server.answers());
    signal(server.postmaster(), Signal::QUIT);
    server.gone(SOON);
    // The same directory, as a primary: found when it lets clients in at the latest.
    std::fs::remove_file(data_dir.join("standby.signal")).unwrap();
    server.start_unwatched();
    wait_for("the primary is stopped", SOON, || server.has_exited());
    server.gone(SOON);
    keeper.set(None, MARGIN).unwrap();
    assert_eq!(keeper.retire().unwrap(), Retired::Left);
}

#[test]
fn a_primary_lives_as_long_as_its_deadline_is_extended() {
    let server = Server::primary();
    let mut keeper = keeper(&server);
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let until = in_millis(3_000);
    wait_for("three seconds are over", SOON, || {
        keeper.set(Some(in_millis(800)), MARGIN).unwrap();
        now() >= until
    });
    assert!(server.answers());
    keeper.set(None, MARGIN).unwrap();
    let until = in_millis(1_200);
    wait_for("the last deadline is over", SOON, || now() >= until);
    assert!(server.answers(), "it was disarmed");
    ends_in_time(&mut keeper, &server);
    keeper.retire().unwrap();
}

#[test]
fn a_primary_that_is_started_behind_the_agents_back_is_stopped() {
    let mut server = Server::primary();
    let mut keeper = keeper(&server);
    ends_in_time(&mut keeper, &server);
    server.start_unwatched();
    wait_for("it is stopped again", SOON, || server.has_exited());
    server.gone(SOON);
    // The lease is held again.
    keeper.set(Some(in_millis(60_000)), MARGIN).unwrap();
    server.start();
    assert_eq!(keeper.retire().unwrap(), Retired::StillNeeded);
    assert!(server.answers());
    let mut keeper = self::keeper(&server);
    keeper.set(None, MARGIN).unwrap();
    assert_eq!(keeper.retire().unwrap(), Retired::Left);
}

#[test]
fn a_fence_that_dies_is_started_again_and_knows_the_deadline() {
    let server = Server::primary();
    let mut keeper = keeper(&server);
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let first = keeper.pid().unwrap();
    keeper.set(Some(in_millis(2_500)), MARGIN).unwrap();
    let deadline = keeper.deadline().unwrap();
    signal(first, Signal::KILL);
    wait_for("its end is seen", SOON, || keeper.exited());
    wait_for("another guards", SOON, || {
        keeper.ensure().unwrap();
        keeper.pid().is_some_and(|pid| pid != first)
    });
    assert_eq!(keeper.ensure().unwrap(), Upkeep::Guarded);
    assert!(server.gone(SOON) >= deadline);
    keeper.retire().unwrap();
}

#[test]
fn a_deadline_file_that_is_removed_is_made_again_and_the_fence_goes_over() {
    let server = Server::primary();
    let mut keeper = keeper(&server);
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let first = keeper.pid();
    keeper.set(Some(in_millis(60_000)), MARGIN).unwrap();
    std::fs::remove_file(keeper.deadline_file()).unwrap();
    keeper.ensure().unwrap();
    wait_for("the fence has the new file", SOON, || {
        keeper.ensure().unwrap();
        keeper.is_heard()
    });
    assert_eq!(keeper.deadline().is_some(), first.is_some());
    ends_in_time(&mut keeper, &server);
    keeper.retire().unwrap();
}

#[test]
fn garbage_in_the_deadline_file_changes_nothing() {
    let server = Server::primary();
    let mut keeper = keeper(&server);
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let deadline = in_millis(4_000);
    keeper.set(Some(deadline), MARGIN).unwrap();
    wait_for("the order is heard", SOON, || keeper.is_heard());
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(keeper.deadline_file())
        .unwrap();
    let never =
        "pgherd-fence-1 0123456789abcdef order=armed deadline=18446744073709551615 margin=0";
    std::os::unix::fs::FileExt::write_all_at(&file, never.as_bytes(), 0).unwrap();
    // Nor does the next agent take it for an order, or for leave to forget the last one.
    let next = self::keeper(&server);
    assert_eq!(next.deadline(), None);
    assert!(server.answers());
    let gone = server.gone(SOON);
    assert!(gone >= deadline, "it was stopped too early");
    assert!(gone.since(deadline) < MARGIN);
    drop(keeper);
    assert_eq!(next.retire().unwrap(), Retired::Left);
}

#[test]
fn there_is_one_fence_for_a_data_directory() {
    let server = Server::primary();
    let keeper = keeper(&server);
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let first = keeper.pid();
    let second = Command::new(stand_in())
        .args(["fence", "--data-dir"])
        .arg(server.data_dir())
        .arg("--deadline-file")
        .arg(keeper.deadline_file())
        .output()
        .unwrap();
    assert!(second.status.success());
    assert!(second.stdout.is_empty() && second.stderr.is_empty());
    assert!(!keeper.exited());
    assert_eq!(keeper.pid(), first);
    let file = keeper.deadline_file().to_owned();
    assert_eq!(keeper.retire().unwrap(), Retired::Left);
    assert!(!file.exists());
    assert!(server.answers(), "a fence that leaves stops nothing");
}

#[test]
fn the_fence_outlives_the_agent_and_the_next_agent_takes_it_over() {
    let server = Server::primary();
    let deadline = in_millis(3_000);
    let mut agent = Command::new(stand_in())
        .arg("agent")
        .arg(server.data_dir())
        .arg(deadline.as_nanos().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(agent.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "set\n");
    agent.kill().unwrap();
    agent.wait().unwrap();

    let mut keeper = keeper(&server);
    assert_eq!(keeper.deadline(), Some(deadline));
    wait_for("the fence listens", SOON, || keeper.is_heard());
    let fence = keeper.pid().unwrap();
    for ignored in [Signal::HUP, Signal::INT, Signal::TERM] {
        signal(fence, ignored);
    }
    // Extended by the next agent, PostgreSQL never notices.
    keeper.set(Some(in_millis(60_000)), MARGIN).unwrap();
    wait_for("the first deadline is over", SOON, || {
        now() > deadline.plus(Duration::from_millis(200))
    });
    assert!(server.answers());
    assert!(!keeper.exited());
    assert_eq!(keeper.pid(), Some(fence));
    ends_in_time(&mut keeper, &server);
    keeper.retire().unwrap();
}

#[test]
fn a_fence_of_an_older_program_is_replaced_by_the_next_agent_only() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let program = folder.path().join("program");
    std::fs::copy(stand_in(), &program).unwrap();
    let start = || FenceKeeper::start(&data_dir, program.clone(), None).unwrap();
    let mut before = start();
    wait_for("the fence listens", SOON, || before.is_heard());
    let first = before.pid().unwrap();

    let upgrade = folder.path().join("upgrade");
    std::fs::copy(stand_in(), &upgrade).unwrap();
    std::fs::rename(&upgrade, &program).unwrap();
    assert_eq!(before.ensure().unwrap(), Upkeep::Guarded);
    assert_eq!(before.pid(), Some(first), "its own agent keeps it");

    let after = start();
    wait_for("the next fence listens", SOON, || after.is_heard());
    assert_ne!(after.pid(), Some(first));
    assert_eq!(after.retire().unwrap(), Retired::Left);
}

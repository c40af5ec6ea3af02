//! The tether: PostgreSQL ends with its parent, and with its lease when agent and fence are gone together.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use pgherd_domain::Moment;
use pgherd_fence::FenceKeeper;
use rustix::process::{Signal, geteuid};

use crate::server::{Server, now, signal, wait_for};
use crate::{MARGIN, SOON, in_millis, keeper, stand_in};

fn tethered() -> (Server, i32) {
    let mut server = Server::made();
    let tether = server.start_tethered(&stand_in());
    (server, tether)
}

/// An agent in a process of its own, with a fence that has heard its deadline; returns both.
fn agent_and_fence(server: &Server, deadline: Moment) -> (Child, i32) {
    let mut agent = Command::new(stand_in())
        .arg("agent")
        .arg(server.data_dir())
        .arg(deadline.as_nanos().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut answer = BufReader::new(agent.stdout.take().unwrap());
    answer.read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "set");
    // Only looks: the order is the agent's.
    let file = server.data_dir().with_file_name(".pgherd-data.fence");
    let mut fence = None;
    wait_for("the fence has heard", SOON, || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        fence = text.lines().nth(1).and_then(|line| {
            let pid = line.split(" pid=").nth(1)?.split(' ').next()?;
            line.contains("sequence=2").then(|| pid.parse().ok())?
        });
        fence.is_some()
    });
    (agent, fence.unwrap())
}

#[test]
fn a_postmaster_ends_with_its_tether() {
    let (mut server, tether) = tethered();
    server.busy();
    assert!(server.backends().contains(&server.named()));
    signal(tether, Signal::KILL);
    server.gone(SOON);
    assert_eq!(server.exit_code(), Some(-1));
}

#[test]
fn a_primary_ends_with_its_lease_when_agent_and_fence_are_killed_together() {
    let (mut server, _) = tethered();
    let backend = server.busy();
    let deadline = in_millis(6_000);
    let (mut agent, fence) = agent_and_fence(&server, deadline);
    agent.kill().unwrap();
    signal(fence, Signal::KILL);
    agent.wait().unwrap();
    assert!(server.answers(), "it costs clients nothing");
    // A backend that hears nothing any more has to be killed.
    signal(backend, Signal::STOP);
    let gone = server.gone(SOON);
    assert!(gone >= deadline, "it was stopped too early");
    let took = gone.since(deadline);
    assert!(took < MARGIN, "gone {took:?} after the deadline");
    wait_for("the tether ends with it", SOON, || server.has_exited());
}

#[test]
fn a_lease_that_lasts_and_a_replica_are_no_business_of_the_tethers() {
    let (server, _) = tethered();
    let mut replica = server.copied();
    replica.start_tethered(&stand_in());
    let mut keeper = keeper(&server);
    let beside = FenceKeeper::start(&replica.data_dir(), stand_in(), None);
    let mut beside = beside.unwrap();
    beside.set(Some(now()), MARGIN).unwrap();
    let until = in_millis(3_000);
    wait_for("many looks", SOON, || {
        keeper.set(Some(in_millis(2_000)), MARGIN).unwrap();
        now() >= until
    });
    assert!(server.answers() && replica.answers());
    keeper.set(None, MARGIN).unwrap();
    keeper.retire().unwrap();
    beside.set(None, MARGIN).unwrap();
    beside.retire().unwrap();
    let until = in_millis(2_300);
    wait_for("the last deadline is over", SOON, || now() >= until);
    assert!(server.answers(), "it was disarmed, and the file is gone");
}

#[test]
fn a_server_that_is_stopped_by_hand_takes_its_tether_along_and_signals_do_not() {
    let (mut server, tether) = tethered();
    let postmaster = server.named();
    for deaf in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        signal(tether, deaf);
    }
    let until = in_millis(300);
    wait_for("signals have come", SOON, || now() >= until);
    assert!(server.answers());
    assert_eq!(server.named(), postmaster);
    // Its account may end the server, and must not be able to end what holds it.
    if geteuid().is_root() {
        let status = std::fs::read_to_string(format!("/proc/{tether}/status")).unwrap();
        assert!(status.contains("Uid:\t0\t0"), "{status}");
        let status = std::fs::read_to_string(format!("/proc/{postmaster}/status")).unwrap();
        assert!(!status.contains("Uid:\t0"), "{status}");
    }
    server.stop_by_hand();
    wait_for("the tether ends", SOON, || server.has_exited());
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_server_that_can_not_start_gives_its_exit_code() {
    let (mut server, _) = tethered();
    let second = Command::new(stand_in())
        .args([
            "tether",
            "--data-dir",
            "/nonexistent",
            "--",
            "/nonexistent/postgres",
        ])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stdout);
    assert!(said.contains("/nonexistent/postgres"), "{said}");
    server.stop_by_hand();
    std::fs::remove_file(server.data_dir().join("global/pg_control")).unwrap();
    server.start_unwatched();
    wait_for("it gives up", SOON, || server.has_exited());
}

#[test]
fn a_server_without_a_tether_is_told_of() {
    let server = Server::primary();
    let mut file = keeper(&server);
    file.set(None, MARGIN).unwrap();
    let path = file.deadline_file().to_owned();
    wait_for("the fence listens", SOON, || file.is_heard());
    signal(file.pid().unwrap(), Signal::KILL);
    wait_for("it is gone", SOON, || file.exited());
    let mut fence = Command::new(stand_in())
        .args(["fence", "--data-dir"])
        .arg(server.data_dir())
        .arg("--deadline-file")
        .arg(path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(fence.stderr.take().unwrap());
    let told = said.lines().map_while(Result::ok);
    let mut told = told.filter(|line| line.contains("was not started by pgherd"));
    let line = told.next().unwrap();
    assert!(line.contains(&server.postmaster().to_string()), "{line}");
    file.retire().unwrap();
    fence.wait().unwrap();
}

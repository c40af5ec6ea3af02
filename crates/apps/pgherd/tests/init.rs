//! The agent as process 1 of a container: signals reach it, orphans are waited for, a killed agent comes back.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a failure is a panic, also in what its tests share"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgherd_domain::Moment;
use pgherd_ports::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// For what takes a second or two, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn now() -> Moment {
    SystemClock.now()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now().plus(SOON);
    while !condition() {
        assert!(now() < deadline, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A container with nothing in it but an agent whose etcd never answers.
struct Container {
    unshare: Child,
    log: Arc<Mutex<String>>,
    folder: tempfile::TempDir,
}

impl Container {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let bin_dir = bin_dir();
        let settings = format!(
            "scope: alone\nname: a\nrestapi: {{listen: '127.0.0.1:8008', connect_address: '127.0.0.1:8008'}}\n\
             etcd3: {{hosts: ['127.0.0.1:2379']}}\npgherd: {{allow_short_ttl: true}}\n\
             bootstrap: {{dcs: {{ttl: 3, loop_wait: 1, retry_timeout: 1}}}}\npostgresql:\n  listen: 127.0.0.1:5432\n  \
             connect_address: 127.0.0.1:5432\n  data_dir: {at}/data\n  bin_dir: {bin_dir}\n  authentication:\n    \
             superuser: {{username: postgres, password: x}}\n    replication: {{username: r, password: x}}\n"
        );
        fs::write(folder.path().join("a.yml"), settings).unwrap();
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--net", "--fork", "--mount-proc", "--kill-child"])
            .args([env!("CARGO_BIN_EXE_pgherd"), "agent"])
            .arg(folder.path().join("a.yml"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (
            BufReader::new(unshare.stderr.take().unwrap()),
            Arc::clone(&log),
        );
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        Self {
            unshare,
            log,
            folder,
        }
    }

    fn says(&self, what: &str, times: usize) {
        let count = || self.log.lock().unwrap().matches(what).count();
        let deadline = now().plus(SOON);
        while count() < times {
            let log = self.log.lock().unwrap().clone();
            assert!(
                now() < deadline,
                "`{what}` is not said {times} times:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Process 1 of it, as it is called outside.
    fn init(&self) -> Pid {
        child_of(self.unshare.id(), "pgherd agent")
    }

    fn agent(&self) -> Pid {
        let init = u32::try_from(self.init().as_raw_nonzero().get()).unwrap();
        child_of(init, "agent")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.unshare.kill().ok();
        self.unshare.wait().ok();
        // The fence's file lies beside the data directory and goes with it.
        assert!(self.folder.path().exists());
    }
}

fn child_of(parent: u32, word: &str) -> Pid {
    let mut found = None;
    wait_for("a child", || {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        found = children.unwrap().split_whitespace().find_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(word)
                .then(|| Pid::from_raw(pid.parse().unwrap()))?
        });
        found.is_some()
    });
    found.unwrap()
}

fn bin_dir() -> String {
    std::env::var("PGHERD_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned())
}

#[test]
fn process_one_hands_signals_on_waits_for_orphans_and_brings_a_killed_agent_back() {
    if !geteuid().is_root() {
        // Only root may make a process 1; `make test` runs as root.
        return;
    }
    let mut container = Container::start();
    container.says(" begins as a", 1);
    let (init, agent) = (container.init(), container.agent());

    let orphaned = Command::new("nsenter")
        .args(["--pid", "--target"])
        .arg(init.as_raw_nonzero().to_string())
        .args(["--", "sh", "-c", "sh -c 'exit 7' & exit 0"])
        .status();
    assert!(orphaned.unwrap().success());
    container.says("exit status=7", 1);

    let old_enough = now().plus(Duration::from_secs(2));
    wait_for("the agent is no newborn", || now() >= old_enough);
    kill_process(agent, Signal::KILL).unwrap();
    container.says("the agent was killed; it is started again", 1);
    container.says(" begins as a", 2);
    assert_ne!(container.agent(), agent);
    assert_eq!(container.init(), init);

    kill_process(init, Signal::HUP).unwrap();
    container.says("No local configuration items changed", 1);
    kill_process(init, Signal::TERM).unwrap();
    let ended = container.unshare.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{}", container.log.lock().unwrap());
}

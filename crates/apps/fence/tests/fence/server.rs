//! A real PostgreSQL without any agent, for the tests of the fence.

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pgherd_domain::Moment;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// initdb or a start, on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// Now, on the fence's clock.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let part = |value: i64| u64::try_from(value).unwrap();
    Moment::from_nanos(part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec))
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_for(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = now().plus(patience);
    while !condition() {
        assert!(now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal; the process must be there.
pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A data directory and the server on it, in a folder that goes with it.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    postmaster: Option<Child>,
    clients: Vec<Child>,
}

impl Server {
    /// A primary that runs.
    pub(crate) fn primary() -> Self {
        let mut server = Self::made();
        server.start();
        server
    }

    /// A primary that does not run yet.
    pub(crate) fn made() -> Self {
        let server = Self::empty();
        let made = server
            .tool("initdb")
            .args(["--auth=trust", "--no-sync", "--no-instructions", "-D"])
            .arg(server.data_dir())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        server
    }

    /// A replica of `self` that runs.
    pub(crate) fn replica(&self) -> Self {
        let mut server = self.copied();
        server.start();
        server
    }

    /// A replica of `self` that does not run yet.
    pub(crate) fn copied(&self) -> Self {
        let server = Self::empty();
        let made = server
            .tool("pg_basebackup")
            .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast"])
            .arg("-h")
            .arg(self.folder.path())
            .arg("-D")
            .arg(server.data_dir())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        server
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Self {
            folder,
            postmaster: None,
            clients: Vec::new(),
        };
        let path = server.folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((uid, gid)) = account() {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        server
    }

    /// Starts the postmaster and waits until it takes connections.
    pub(crate) fn start(&mut self) {
        self.start_unwatched();
        wait_for("PostgreSQL answers", READY, || self.answers());
    }

    /// Starts the postmaster.
    pub(crate) fn start_unwatched(&mut self) {
        let command = self.tool("postgres");
        self.spawn(command);
    }

    /// Starts the postmaster as the child of a tether, and waits until it takes connections. `has_exited` then
    /// tells of the tether. Returns the tether's process id.
    pub(crate) fn start_tethered(&mut self, program: &Path) -> i32 {
        let mut tether = Command::new(program);
        tether
            .current_dir("/")
            .stdin(Stdio::null())
            .args(["tether", "--data-dir"])
            .arg(self.data_dir())
            .arg("--")
            .arg(bin_dir().join("postgres"));
        if let Some((uid, gid)) = account() {
            tether.env("STAND_IN_RUN_AS", format!("{uid}:{gid}"));
        }
        self.spawn(tether);
        wait_for("PostgreSQL answers", READY, || self.answers());
        self.postmaster()
    }

    fn spawn(&mut self, mut command: Command) {
        command
            .arg("-D")
            .arg(self.data_dir())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = command.spawn().unwrap();
        if let Some(mut before) = self.postmaster.replace(started) {
            before.wait().unwrap();
        }
    }

    /// `pg_ctl stop`, as an operator does it.
    pub(crate) fn stop_by_hand(&self) {
        let stopped = self
            .tool("pg_ctl")
            .args(["stop", "-s", "-w", "-D"])
            .arg(self.data_dir())
            .output()
            .unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
    }

    /// The postmaster that postmaster.pid names.
    pub(crate) fn named(&self) -> i32 {
        let text = fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// Whether the postmaster has exited.
    pub(crate) fn has_exited(&mut self) -> bool {
        self.exit_code().is_some()
    }

    /// How it ended; `None` while it runs, and -1 when a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let child = self.postmaster.as_mut().unwrap();
        let status = child.try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Where its data lies.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Whether it answers a query.
    pub(crate) fn answers(&self) -> bool {
        let asked = self.psql("select 1").output().unwrap();
        asked.status.success()
    }

    /// Ends recovery.
    pub(crate) fn promote(&self) {
        let asked = self.psql("select pg_promote(wait => false)").output();
        assert!(asked.unwrap().status.success());
    }

    /// A client whose query never ends; returns the process id of its backend.
    pub(crate) fn busy(&mut self) -> i32 {
        let before = self.backends();
        let query = "do $$ begin loop perform 1; end loop; end $$";
        let client = self
            .psql(query)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.clients.push(client);
        let new = || {
            let query = "select pid from pg_stat_activity where query like 'do $$%'";
            let found = self.psql(query).output().unwrap();
            String::from_utf8_lossy(&found.stdout).trim().parse().ok()
        };
        let mut backend = None;
        wait_for("the backend works", READY, || {
            backend = new();
            backend.is_some()
        });
        let backend = backend.unwrap();
        assert!(!before.contains(&backend));
        backend
    }

    /// Process id of what was started: the postmaster, or its tether.
    pub(crate) fn postmaster(&self) -> i32 {
        i32::try_from(self.postmaster.as_ref().unwrap().id()).unwrap()
    }

    /// Everything that runs in the data directory, the postmaster among it.
    pub(crate) fn backends(&self) -> BTreeSet<i32> {
        let folder = fs::canonicalize(self.data_dir()).unwrap_or_default();
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                // What has exited and was not waited for has no folder any more.
                fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)
            })
            .collect()
    }

    /// Kills the postmaster and all its processes: one that is left may wait for ever for a lock of one that is dead.
    #[track_caller]
    pub(crate) fn killed(&self) {
        for pid in iter::once(self.postmaster()).chain(self.backends()) {
            let pid = Pid::from_raw(pid).unwrap();
            kill_process(pid, Signal::KILL).ok();
        }
        self.gone(READY);
    }

    /// Waits until nothing of it runs; returns when that was.
    #[track_caller]
    pub(crate) fn gone(&self, patience: Duration) -> Moment {
        let deadline = now().plus(patience);
        loop {
            let left = self.backends();
            if left.is_empty() {
                return now();
            }
            let who = left.iter().map(|pid| described(*pid)).collect::<Vec<_>>();
            assert!(now() < deadline, "after {patience:?} there runs {who:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn psql(&self, query: &str) -> Command {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-A", "-t", "-d", "postgres", "-c", query, "-h"])
            .arg(self.folder.path())
            .env("PGUSER", user())
            .env("PGCONNECT_TIMEOUT", "5");
        psql
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(bin_dir().join(name));
        command
            .current_dir("/")
            .env("PGUSER", user())
            .stdin(Stdio::null());
        if let Some((uid, gid)) = account() {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.postmaster.iter_mut().chain(&mut self.clients) {
            child.kill().ok();
            child.wait().ok();
        }
        // The folder can only be removed when nobody writes to it.
        loop {
            let left = self.backends();
            for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                kill_process(pid, Signal::KILL).ok();
            }
            if left.is_empty() {
                return;
            }
        }
    }
}

/// What a process is and what it waits for.
fn described(pid: i32) -> String {
    let told = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let command = told("cmdline").replace('\0', " ");
    let state = told("stat");
    let state = state.rsplit(')').next().unwrap_or_default();
    let state: String = state.chars().take(8).collect();
    format!("{pid} {command}: {state} in {}", told("wchan"))
}

fn bin_dir() -> PathBuf {
    let named = std::env::var_os("PGHERD_PG_BIN").map(PathBuf::from);
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut all: Vec<PathBuf> = debian
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    all.sort();
    let usual = Path::new("/usr/lib/postgresql/15/bin").to_owned();
    let mut places = named.into_iter().chain([usual]).chain(all);
    places
        .find(|dir| dir.join("postgres").exists() && dir.join("initdb").exists())
        .expect("no PostgreSQL server found; `make setup` installs postgresql-15")
}

/// The account to run PostgreSQL as: it refuses root.
fn account() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("an account `postgres`").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// The superuser is named after whoever ran initdb.
fn user() -> String {
    if geteuid().is_root() {
        "postgres".to_owned()
    } else {
        std::env::var("USER").unwrap_or_else(|_| "postgres".to_owned())
    }
}

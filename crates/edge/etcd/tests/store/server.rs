//! Etcd servers that end with the test.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// Ports below those that the kernel hands out by itself.
static NEXT_PORT: AtomicU16 = AtomicU16::new(12_000);

/// Some members of one etcd cluster.
#[derive(Debug)]
pub(crate) struct Servers {
    members: Vec<Member>,
    dir: TempDir,
    /// Options of each, which count when it is started.
    pub(crate) extra: Vec<Vec<String>>,
    scheme: &'static str,
}

#[derive(Debug)]
struct Member {
    client_port: u16,
    peer_port: u16,
    running: Option<Child>,
}

/// An address of this process's own: no other test can take its ports.
pub(crate) fn address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low)
}

/// A port of that address.
pub(crate) fn port() -> u16 {
    NEXT_PORT.fetch_add(1, Ordering::SeqCst)
}

impl Servers {
    /// Starts a cluster of `size`.
    pub(crate) fn start(size: usize) -> Self {
        Self::start_with(size, "http", &[])
    }

    /// Starts a cluster with more options.
    pub(crate) fn start_with(size: usize, scheme: &'static str, extra: &[String]) -> Self {
        // In memory where possible: what a slow disk does is not what these tests are about.
        let dir = tempfile::Builder::new()
            .prefix("pgherd-etcd-")
            .tempdir_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .expect("a directory can be made");
        let members = (0..size).map(|_| Member {
            client_port: port(),
            peer_port: port(),
            running: None,
        });
        let mut servers = Self {
            members: members.collect(),
            dir,
            extra: vec![extra.to_vec(); size],
            scheme,
        };
        servers.start_all();
        servers
    }

    /// Starts whoever does not run.
    pub(crate) fn start_all(&mut self) {
        for index in 0..self.members.len() {
            if self.members[index].running.is_none() {
                let child = self.command(index).spawn().expect("etcd is installed");
                self.members[index].running = Some(child);
            }
        }
    }

    /// SIGKILL to one.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.members[index].running.take() {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
        }
    }

    /// SIGKILL to all.
    pub(crate) fn kill_all(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }

    /// Client addresses as URLs.
    pub(crate) fn urls(&self) -> Vec<String> {
        let ports = self.members.iter().map(|member| member.client_port);
        ports.map(|port| self.url(self.scheme, port)).collect()
    }

    /// Client ports.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.members
            .iter()
            .map(|member| member.client_port)
            .collect()
    }

    fn url(&self, scheme: &str, port: u16) -> String {
        format!("{scheme}://{}:{port}", address())
    }

    fn command(&self, index: usize) -> Command {
        let member = &self.members[index];
        let client = self.url(self.scheme, member.client_port);
        let peer = self.url("http", member.peer_port);
        let cluster: Vec<String> = (0..self.members.len())
            .map(|one| format!("m{one}={}", self.url("http", self.members[one].peer_port)))
            .collect();
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(format!("m{index}.log")))
            .expect("the log can be opened");
        // Quick elections; a cluster of several needs more room on a busy machine.
        let (heartbeat, election) = match self.members.len() {
            1 => ("20", "200"),
            _ => ("50", "500"),
        };
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("m{index}")])
            .arg("--data-dir")
            .arg(self.dir.path().join(format!("m{index}")))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster.join(",")])
            .args(["--heartbeat-interval", heartbeat])
            .args(["--election-timeout", election])
            .args(["--logger", "zap"])
            .args(crate::FLAGS)
            .args(&self.extra[index])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_file());
        command
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(mut child) = member.running.take() {
                // Nothing can be done about a failure here, and the test has its result.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

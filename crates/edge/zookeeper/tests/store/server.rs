//! ZooKeeper servers that end with the test.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use pgherd_settings::HostPort;
use tempfile::TempDir;

/// Where Debian puts ZooKeeper's program.
const JAR: &str = "/usr/share/java/zookeeper.jar";
/// Debian's program names what it needs itself, but for what TLS needs.
const CLASSES: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar";
/// Ports below those that the kernel hands out by itself.
static NEXT_PORT: AtomicU16 = AtomicU16::new(12_000);

/// Some members of one ensemble.
#[derive(Debug)]
pub(crate) struct Servers {
    members: Vec<Member>,
    dir: TempDir,
    extra: String,
}

#[derive(Debug)]
struct Member {
    client: u16,
    peers: [u16; 2],
    running: Option<Child>,
}

/// An address of this process's own: no other test can take its ports.
pub(crate) fn address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 + high % 64, middle, low)
}

/// A port of that address.
pub(crate) fn port() -> u16 {
    NEXT_PORT.fetch_add(1, Ordering::SeqCst)
}

/// Whether ZooKeeper can be run here; says so when not.
pub(crate) fn is_there() -> bool {
    let there = std::path::Path::new(JAR).exists()
        && Command::new("java")
            .arg("-version")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !there {
        println!("skipped: no ZooKeeper here; `scripts/setup.sh test` installs it");
    }
    there
}

impl Servers {
    /// Starts an ensemble of `size`.
    pub(crate) fn start(size: usize) -> Self {
        Self::start_with(size, "")
    }

    /// The same with more lines in the configuration.
    pub(crate) fn start_with(size: usize, extra: &str) -> Self {
        // In memory where possible: what a slow disk does is not what these tests are about.
        let dir = tempfile::Builder::new()
            .prefix("pgherd-zookeeper-")
            .tempdir_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .expect("a directory can be made");
        let members = (0..size).map(|_| Member {
            client: port(),
            peers: [port(), port()],
            running: None,
        });
        let mut servers = Self {
            members: members.collect(),
            dir,
            extra: extra.to_owned(),
        };
        servers.start_all();
        servers
    }

    /// Starts whoever does not run.
    pub(crate) fn start_all(&mut self) {
        for index in 0..self.members.len() {
            if self.members[index].running.is_none() {
                let child = self.command(index).spawn().expect("java is installed");
                self.members[index].running = Some(child);
            }
        }
    }

    /// SIGKILL to all.
    pub(crate) fn kill_all(&mut self) {
        for member in &mut self.members {
            if let Some(mut child) = member.running.take() {
                child.kill().expect("it is our child");
                child.wait().expect("it is our child");
            }
        }
    }

    /// Client addresses.
    pub(crate) fn hosts(&self) -> Vec<HostPort> {
        let ports = self.members.iter().map(|member| member.client);
        ports.map(at).collect()
    }

    fn command(&self, index: usize) -> Command {
        let dir = self.dir.path().join(format!("m{index}"));
        fs_err::create_dir_all(&dir).expect("a directory can be made");
        fs_err::write(dir.join("myid"), (index + 1).to_string()).expect("it can be written");
        let member = &self.members[index];
        let mut lines = format!(
            "tickTime=200\ninitLimit=50\nsyncLimit=10\ndataDir={}\nclientPort={}\n\
             clientPortAddress={}\nadmin.enableServer=false\nmaxClientCnxns=0\n\
             maxSessionTimeout=600000\n{}\n",
            dir.display(),
            member.client,
            address(),
            self.extra
        );
        if self.members.len() > 1 {
            for (index, member) in self.members.iter().enumerate() {
                let [peer, election] = member.peers;
                let at = address();
                lines += &format!("server.{}={at}:{peer}:{election}\n", index + 1);
            }
        }
        let config = dir.join("zoo.cfg");
        fs_err::write(&config, lines).expect("it can be written");
        let mut command = Command::new("java");
        command
            .args([
                "-Xmx64m",
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
            ])
            .args(["-cp", CLASSES])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
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

/// A port of the test's address.
pub(crate) fn at(port: u16) -> HostPort {
    HostPort {
        host: address().to_string(),
        port,
    }
}

//! One host: an address, a directory, the processes started on it, and its link to the others.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::bad_line::{BadLine, Degraded};
use crate::bed::{Bed, Isolation, Testbed};
use crate::link::{Cut, Link, Way};
use crate::processes::{Membership, Process};

/// What listens on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// PostgreSQL.
    Postgres,
    /// The agent's REST API.
    Rest,
    /// etcd's clients.
    EtcdClient,
    /// etcd's other members.
    EtcdPeer,
    /// ZooKeeper's clients.
    ZooKeeperClient,
    /// ZooKeeper's other members.
    ZooKeeperPeer,
    /// The same, for elections.
    ZooKeeperElection,
    /// Consul's HTTP API.
    ConsulHttp,
    /// Consul's servers among each other.
    ConsulServer,
    /// Consul's gossip.
    ConsulSerf,
    /// The API of Kubernetes.
    KubeApi,
}

impl Port {
    /// The port everybody expects.
    const fn usual(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Rest => 8008,
            Self::EtcdClient => 2379,
            Self::EtcdPeer => 2380,
            Self::ZooKeeperClient => 2181,
            Self::ZooKeeperPeer => 2888,
            Self::ZooKeeperElection => 3888,
            Self::ConsulHttp => 8500,
            Self::ConsulServer => 8300,
            Self::ConsulSerf => 8301,
            Self::KubeApi => 8001,
        }
    }
}

/// A host on a bed. Clones are the same host.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    address: Ipv4Addr,
    /// Address that [`Cut::Peers`] spares.
    bridge: Ipv4Addr,
    dir: PathBuf,
    link: Option<Link>,
    membership: Membership,
    mark: String,
    ports: Mutex<BTreeMap<Port, u16>>,
}

impl Host {
    pub(crate) fn new(bed: &Arc<Bed>, name: &str, number: u8) -> Result<Self> {
        let claim = &bed.claim;
        let dir = claim.dir.join(name);
        fs_err::create_dir(&dir)?;
        let address = claim.address(number);
        let mark = dir.to_string_lossy().into_owned();
        let (link, membership) = match bed.isolation {
            Isolation::Namespaces => {
                let link = Link::plug(&claim.id, name, number, address)?;
                let namespace = link.namespace.clone();
                (Some(link), Membership::Namespace(namespace))
            }
            Isolation::Loopback => (
                None,
                Membership::Marked {
                    mark: mark.clone(),
                    dir: dir.clone(),
                },
            ),
        };
        let inner = Inner {
            name: name.to_owned(),
            address,
            bridge: claim.address(254),
            dir,
            link,
            membership,
            mark,
            ports: Mutex::new(BTreeMap::new()),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Its name on the bed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.inner.address
    }

    /// Its directory: configurations, data, logs (`*.log`).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Where `port` listens: the usual number, unless somebody on this machine has it already.
    #[must_use]
    pub fn at(&self, port: Port) -> SocketAddr {
        let mut ports = self
            .inner
            .ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let number = *ports.entry(port).or_insert_with(|| match self.inner.link {
            Some(_) => port.usual(), // nobody else is in the namespace
            None => free_port(self.inner.address, port.usual()),
        });
        SocketAddr::from((self.inner.address, number))
    }

    /// Starts a program on this host, as `user` when this process is root; its output goes to `LOG.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, log: &str, user: Option<&str>, argv: &[String]) -> Result<Process> {
        let full = self.command_line(user, argv);
        Process::spawn(
            &full,
            &self.inner.mark,
            &self.dir().join(format!("{log}.log")),
        )
    }

    /// Runs a program on this host to its end and returns its stdout.
    ///
    /// # Errors
    /// When it does not end with 0.
    pub async fn run(&self, user: Option<&str>, argv: &[&str]) -> Result<String> {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        let full = self.command_line(user, &argv);
        let (program, rest) = full.split_first().context("an empty command line")?;
        let output = tokio::process::Command::new(program)
            .args(rest)
            .env(crate::processes::MARK, &self.inner.mark)
            .current_dir("/")
            .output()
            .await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "on {}: `{}` failed: {}",
                self.name(),
                argv.join(" "),
                said.trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command_line(&self, user: Option<&str>, argv: &[String]) -> Vec<String> {
        let mut full: Vec<String> = Vec::new();
        if let Some(link) = &self.inner.link {
            full.extend(["ip", "netns", "exec", &link.namespace].map(str::to_owned));
        }
        if let Some(user) = user.filter(|_| rustix::process::geteuid().is_root()) {
            let ids = [format!("--reuid={user}"), format!("--regid={user}")];
            full.push("setpriv".to_owned());
            full.extend(ids);
            full.extend(["--init-groups", "--"].map(str::to_owned));
        }
        full.extend_from_slice(argv);
        full
    }

    /// Process ids of everything that runs on this host.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        self.inner.membership.processes().into_iter().collect()
    }

    /// SIGKILL to every process of this host, children and detached ones included.
    ///
    /// # Errors
    /// When something survives it.
    pub fn kill_all(&self) -> Result<()> {
        self.inner.membership.kill_all()
    }

    /// Freezes every process of this host, PostgreSQL's backends included.
    ///
    /// # Errors
    /// When something cannot be stopped.
    pub fn pause(&self) -> Result<()> {
        self.inner.membership.pause()
    }

    /// Ends [`Self::pause`].
    pub fn resume(&self) {
        self.inner.membership.resume();
    }

    /// The power fails: the link goes first, so that nobody hears of the processes' deaths.
    ///
    /// # Errors
    /// When a process survives or the link cannot be taken down.
    pub fn power_off(&self) -> Result<()> {
        if let Some(link) = &self.inner.link {
            link.down()?;
        }
        self.kill_all()
    }

    /// The power is back: the link is up, nothing runs yet.
    ///
    /// # Errors
    /// When the link cannot be brought up.
    pub fn power_on(&self) -> Result<()> {
        self.inner.link.as_ref().map_or(Ok(()), Link::up)
    }

    /// Cuts this host off silently.
    ///
    /// # Errors
    /// When hosts are loopback addresses.
    pub fn cut(&self, cut: Cut) -> Result<()> {
        self.heal()?;
        self.link()?.cut(cut, self.inner.bridge)
    }

    /// Cuts this host off from `others` silently, one way or both; adds to the cuts that it has.
    ///
    /// # Errors
    /// When hosts are loopback addresses.
    pub fn cut_from(&self, others: &[Self], way: Way) -> Result<()> {
        let others: Vec<Ipv4Addr> = others.iter().map(Self::address).collect();
        self.link()?.cut_from(&others, way)
    }

    /// Packets that arrive for `port` come late or not at all, until what this returns is dropped.
    ///
    /// # Errors
    /// When hosts are loopback addresses, or the kernel has no packet queues.
    pub fn bad_line(&self, port: Port, line: BadLine) -> Result<Degraded> {
        Degraded::begin(self.link()?, self.at(port).port(), line)
    }

    /// Ends every cut of this host.
    ///
    /// # Errors
    /// When hosts are loopback addresses.
    pub fn heal(&self) -> Result<()> {
        self.link()?.heal();
        Ok(())
    }

    /// Limits this host's link to `kbit` per second each way, or ends the limit.
    ///
    /// # Errors
    /// When hosts are loopback addresses or the kernel has no token bucket filter.
    pub fn slow(&self, kbit: Option<u32>) -> Result<()> {
        self.link()?.slow(kbit)
    }

    /// Draws the cable: the carrier is gone on both ends.
    ///
    /// # Errors
    /// When hosts are loopback addresses.
    pub fn unplug(&self) -> Result<()> {
        self.link()?.down()
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// When hosts are loopback addresses.
    pub fn plug(&self) -> Result<()> {
        self.link()?.up()
    }

    fn link(&self) -> Result<&Link> {
        self.inner
            .link
            .as_ref()
            .context("hosts are loopback addresses here: nothing can be cut")
    }

    /// Name and last `lines` lines of each log of this host, of its PostgreSQL's too. A line that comes again and again,
    /// with another time in front, counts once.
    #[must_use]
    pub fn log_tails(&self, lines: usize) -> Vec<(String, String)> {
        let mut tails = Vec::new();
        for (prefix, folder) in [
            ("", self.dir().to_owned()),
            ("data/", self.dir().join("data/log")),
        ] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".log") {
                    let text = std::fs::read(entry.path()).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    tails.push((format!("{prefix}{name}"), last_different(&text, lines)));
                }
            }
        }
        tails.sort();
        tails
    }
}

/// The last `lines` lines of those that differ in more than digits; of equal ones the last.
fn last_different(text: &str, lines: usize) -> String {
    let mut seen = HashSet::new();
    let mut kept: Vec<&str> = text
        .lines()
        .rev()
        .filter(|line| seen.insert(line.replace(|c: char| c.is_ascii_digit(), "")))
        .take(lines)
        .collect();
    kept.reverse();
    kept.join("\n")
}

impl Testbed {
    /// Several hosts named `prefix1`, `prefix2` and so on.
    ///
    /// # Errors
    /// As [`Self::host`].
    pub fn hosts(&self, prefix: &str, count: usize) -> Result<Vec<Host>> {
        (1..=count)
            .map(|number| self.host(&format!("{prefix}{number}")))
            .collect()
    }
}

/// `usual` when it can be bound on `address`, else one that the kernel has free.
fn free_port(address: Ipv4Addr, usual: u16) -> u16 {
    let bind = |port| TcpListener::bind((address, port)).and_then(|socket| socket.local_addr());
    bind(usual)
        .or_else(|_| bind(0))
        .map_or(usual, |bound| bound.port())
}

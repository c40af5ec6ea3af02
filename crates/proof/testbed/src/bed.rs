//! One bed: a private subnet on a bridge, the hosts on it, and their removal when it is dropped.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

use crate::claim::{self, Claim};
use crate::command::attempt;
use crate::host::Host;
use crate::{link, signals};

/// Number of the bridge's own address: where clients in the test process come from.
const BRIDGE: u8 = 254;
/// Lines of each log that a failure report shows: agents tell the story, stores seldom add to it.
const TAIL: usize = 40;
const STORE_TAIL: usize = 5;

/// How hosts are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each host is a network namespace on a bridge: everything can be cut.
    Namespaces,
    /// Each host is an address 127.x.y.z: nothing can be cut, all else works.
    Loopback,
}

/// A bed: hosts on a subnet of their own. Dropping it kills and removes everything on it.
#[derive(Debug, Clone)]
pub struct Testbed {
    inner: Arc<Bed>,
}

#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) claim: Claim,
    pub(crate) isolation: Isolation,
    hosts: Mutex<Vec<Host>>,
    kept: AtomicBool,
}

impl Testbed {
    /// Makes an empty bed; `story` names it in what is printed. Sweeps what dead processes left, first.
    ///
    /// Namespaces are used where they are allowed; `PGHERD_TESTBED=loopback` refuses them on purpose.
    ///
    /// # Errors
    /// When neither the claim nor the bridge can be made.
    pub fn new(story: &str) -> Result<Self> {
        Self::with_isolation(story, possible_isolation())
    }

    /// The same with the hosts kept apart in a given way.
    ///
    /// # Errors
    /// As [`Self::new`]; namespaces where they are not allowed are an error here.
    pub fn with_isolation(story: &str, isolation: Isolation) -> Result<Self> {
        claim::sweep()?;
        let first = if isolation == Isolation::Namespaces {
            10
        } else {
            127
        };
        let claim = Claim::take(first)?;
        if isolation == Isolation::Namespaces {
            link::make_bridge(&claim.id, claim.address(BRIDGE))
                .with_context(|| format!("cannot make the bridge of {story}"))?;
        }
        let bed = Bed {
            claim,
            isolation,
            hosts: Mutex::new(Vec::new()),
            kept: AtomicBool::new(false),
        };
        let inner = Arc::new(bed);
        signals::clean_up_on_signal(Arc::downgrade(&inner));
        Ok(Self { inner })
    }

    /// Adds a host called `name`, with its own address.
    ///
    /// # Errors
    /// When its namespace or link cannot be made, or 200 hosts exist.
    pub fn host(&self, name: &str) -> Result<Host> {
        let mut hosts = self
            .inner
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let number = u8::try_from(hosts.len() + 1)
            .ok()
            .filter(|number| *number < 200);
        let number = number.context("a bed has room for 199 hosts")?;
        let host = Host::new(&self.inner, name, number)?;
        hosts.push(host.clone());
        Ok(host)
    }

    /// The host called `name`, made before.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(&self, name: &str) -> Result<Host> {
        let hosts = self
            .inner
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = hosts.iter().find(|host| host.name() == name).cloned();
        found.with_context(|| format!("no host is called {name}"))
    }

    /// How this bed's hosts are kept apart.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.inner.isolation
    }

    /// Whether hosts can be cut off here. Says why not, for a test that has to skip.
    #[must_use]
    pub fn can_cut(&self) -> bool {
        let yes = self.isolation() == Isolation::Namespaces;
        if !yes {
            eprintln!(
                "SKIPPED: network namespaces are not allowed here, so no host can be cut off"
            );
        }
        yes
    }

    /// The working directory, removed with the bed.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.claim.dir
    }

    /// The name that all of this bed's namespaces begin with.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.claim.id
    }

    /// The address that clients in this process have on the bed's network.
    #[must_use]
    pub fn own_address(&self) -> Ipv4Addr {
        match self.inner.isolation {
            Isolation::Namespaces => self.inner.claim.address(BRIDGE),
            Isolation::Loopback => Ipv4Addr::LOCALHOST,
        }
    }

    /// Leaves everything running after this process ends, until [`crate::clean_kept`].
    ///
    /// # Errors
    /// When the claim cannot be written.
    pub fn keep(&self) -> Result<()> {
        self.inner.kept.store(true, Ordering::SeqCst);
        self.inner.claim.keep()
    }

    /// The last lines of every log on every host, for a failure message.
    #[must_use]
    pub fn report(&self) -> String {
        self.inner.report()
    }
}

impl Bed {
    fn report(&self) -> String {
        let mut text = String::new();
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        for host in hosts.iter() {
            let lines = if host.name().starts_with("etcd") {
                STORE_TAIL
            } else {
                TAIL
            };
            for (name, lines) in host.log_tails(lines) {
                text.push_str(&format!(
                    "--- {} {name}, last lines\n{lines}\n",
                    host.name()
                ));
            }
        }
        text
    }

    /// Removes everything now; called by drop and by the signal watcher.
    pub(crate) fn remove(&self) {
        if !self.kept.load(Ordering::SeqCst) {
            self.claim.release();
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        self.remove();
    }
}

/// Namespaces need root, `ip`, `nft` and a kernel that lets us: ask by making one.
fn possible_isolation() -> Isolation {
    let refused = std::env::var("PGHERD_TESTBED").is_ok_and(|value| value == "loopback");
    if refused || !rustix::process::geteuid().is_root() {
        return Isolation::Loopback;
    }
    let probe = format!("pghprobe-{}", std::process::id());
    let allowed = attempt(&["ip", "netns", "add", &probe])
        && attempt(&["ip", "netns", "exec", &probe, "nft", "list", "ruleset"]);
    attempt(&["ip", "netns", "del", &probe]);
    if allowed {
        Isolation::Namespaces
    } else {
        Isolation::Loopback
    }
}

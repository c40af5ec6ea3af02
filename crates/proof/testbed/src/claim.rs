//! Claims: which names, subnet and directory belong to which living process, and the sweep of what the dead left.
//!
//! A claim is a small JSON file that its owner keeps locked. The kernel drops the lock with the process, however
//! it dies, so a claim that can be locked by somebody else has lost its owner and everything named in it may go.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::command::attempt;
use crate::link;
use crate::postgres::forget_shared_memory;
use crate::processes;

/// Every bridge, interface and namespace of a bed begins with this.
const PREFIX: &str = "pgh";
/// Beds that one process may own at a time: the last letter of the id tells them apart.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// What one bed owns.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `pgh`, the owner's pid in hexadecimal, one letter: the bridge's name, and the prefix of all others.
    pub(crate) id: String,
    /// First three bytes of the /24 that belongs to this bed (10.a.b, or 127.a.b without namespaces).
    pub(crate) net: [u8; 3],
    /// Working directory: configurations, data, logs.
    pub(crate) dir: PathBuf,
    path: PathBuf,
    /// Held for the lock on it.
    _lock: File,
}

impl Claim {
    /// Takes an id, a subnet and a directory that nobody else has. `first` is 10 for namespaces, 127 for loopback.
    ///
    /// # Errors
    /// When the state directory cannot be written or no subnet is free.
    pub(crate) fn take(first: u8) -> Result<Self> {
        let state = state_dir()?;
        let _all = lock_all(&state)?;
        let pid = std::process::id();
        let (id, path) = LETTERS
            .chars()
            .map(|letter| format!("{PREFIX}{pid:x}{letter}"))
            .map(|id| (id.clone(), state.join(format!("{id}.json"))))
            .find(|(_, path)| !path.exists())
            .context("this process owns 26 beds already; drop some")?;
        let net = free_net(first, pid, &claimed_nets(&state))?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("{id}-"))
            .tempdir()?
            .keep();
        // PostgreSQL's user has to reach its own directory below this one.
        fs_err::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
        let lock = File::create_new(&path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let claim = Self {
            id,
            net,
            dir,
            path,
            _lock: lock,
        };
        claim.write(false)?;
        Ok(claim)
    }

    /// Address number `last` of this bed's subnet.
    pub(crate) const fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.net[0], self.net[1], self.net[2], last)
    }

    /// Leaves everything in place after this process, until somebody calls [`clean_kept`].
    pub(crate) fn keep(&self) -> Result<()> {
        self.write(true)
    }

    /// Removes processes, namespaces, bridge, directory and the claim itself.
    pub(crate) fn release(&self) {
        remove_all(&self.id, &self.dir);
        drop(fs_err::remove_file(&self.path));
    }

    fn write(&self, keep: bool) -> Result<()> {
        let document = json!({ "id": self.id, "net": self.net, "dir": self.dir, "keep": keep });
        fs_err::write(&self.path, document.to_string()).context("cannot write the claim")
    }
}

/// Removes what processes that are gone have left behind; beds kept on purpose stay.
///
/// # Errors
/// When the state directory cannot be read.
pub fn sweep() -> Result<Vec<String>> {
    sweep_where(|document| document["keep"] != true)
}

/// Removes beds that were kept on purpose (`make demo KEEP=1`), with their processes and files.
///
/// # Errors
/// When the state directory cannot be read.
pub fn clean_kept() -> Result<Vec<String>> {
    sweep_where(|document| document["keep"] == true)
}

fn sweep_where(wanted: impl Fn(&Value) -> bool) -> Result<Vec<String>> {
    let state = state_dir()?;
    let _all = lock_all(&state)?;
    let mut removed = Vec::new();
    for path in claim_files(&state) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue; // its owner lives
        }
        let document = read(&path);
        if !wanted(&document) {
            continue;
        }
        if let (Some(id), Some(dir)) = (document["id"].as_str(), document["dir"].as_str()) {
            remove_all(id, Path::new(dir));
            removed.push(id.to_owned());
        }
        drop(fs_err::remove_file(&path));
    }
    Ok(removed)
}

/// Kills and removes everything whose name begins with `id`, and the directory.
fn remove_all(id: &str, dir: &Path) {
    let namespaces: Vec<String> = names_in("/run/netns")
        .into_iter()
        .filter(|name| name.starts_with(&format!("{id}-")))
        .collect();
    for namespace in &namespaces {
        processes::kill_namespace(namespace);
    }
    processes::kill_below(dir);
    forget_shared_memory(dir);
    for namespace in &namespaces {
        attempt(&["ip", "netns", "del", namespace]);
    }
    for name in names_in("/sys/class/net") {
        if name == id || name.starts_with(&format!("{id}-")) {
            link::remove(&name);
        }
    }
    // Only ever a directory that `Claim::take` made.
    let ours = dir
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(id));
    if ours && id.starts_with(PREFIX) {
        drop(fs_err::remove_dir_all(dir));
    }
}

/// Where claims live: shared by all users' processes that could collide, hence by user.
fn state_dir() -> Result<PathBuf> {
    let dir = if rustix::process::geteuid().is_root() {
        PathBuf::from("/run/pgherd-testbed")
    } else {
        std::env::temp_dir().join(format!(
            "pgherd-testbed-{}",
            rustix::process::geteuid().as_raw()
        ))
    };
    fs_err::create_dir_all(&dir)?;
    Ok(dir)
}

/// One process at a time hands out or removes claims.
fn lock_all(state: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(state.join("lock"))
        .context("cannot open the lock of the testbed's claims")?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn claim_files(state: &Path) -> Vec<PathBuf> {
    names_in(state)
        .into_iter()
        .filter(|name| name.ends_with(".json"))
        .map(|name| state.join(name))
        .collect()
}

fn read(path: &Path) -> Value {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn names_in(dir: impl AsRef<Path>) -> Vec<String> {
    std::fs::read_dir(dir).map_or_else(
        |_| Vec::new(),
        |entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        },
    )
}

fn claimed_nets(state: &Path) -> Vec<[u8; 3]> {
    claim_files(state)
        .iter()
        .filter_map(|path| serde_json::from_value(read(path)["net"].clone()).ok())
        .collect()
}

/// A /24 below `first` that no route of this machine touches and no claim names; begins looking at a place
/// derived from the pid so that two machines' neighbours seldom look alike in logs.
fn free_net(first: u8, pid: u32, taken: &[[u8; 3]]) -> Result<[u8; 3]> {
    let routes = fs_err::read_to_string("/proc/net/route").unwrap_or_default();
    let [_, _, start_a, start_b] = pid.wrapping_mul(2_654_435_761).to_be_bytes();
    for step in 0..=u16::MAX {
        let [a, b] = u16::from_be_bytes([start_a, start_b])
            .wrapping_add(step)
            .to_be_bytes();
        let net = [first, a.max(1), b];
        let busy = first == 10 && routed(&routes, net);
        if !busy && !taken.contains(&net) {
            return Ok(net);
        }
    }
    bail!("no /24 below {first}.0.0.0/8 is free on this machine")
}

/// Whether a route other than the default one covers a part of `net` (text of `/proc/net/route`).
fn routed(routes: &str, net: [u8; 3]) -> bool {
    let wanted = u32::from_be_bytes([net[0], net[1], net[2], 0]);
    routes.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| {
            fields
                .get(index)
                .and_then(|text| u32::from_str_radix(text, 16).ok())
                .map(|raw| u32::from_be_bytes(raw.to_le_bytes()))
        };
        match (number(1), number(7)) {
            (Some(to), Some(mask)) if mask != 0 => {
                let both = mask & 0xffff_ff00;
                to & both == wanted & both
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{free_net, routed};

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
        eth0\t0002010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
        tun0\t0000630A\t00000000\t0001\t0\t0\t0\t0000FFFF\n";

    #[test]
    fn a_subnet_that_is_routed_is_not_taken() {
        assert!(routed(ROUTES, [10, 1, 2]), "the very subnet");
        assert!(routed(ROUTES, [10, 99, 7]), "a part of a wider route");
        assert!(
            !routed(ROUTES, [10, 1, 3]),
            "the default route does not count"
        );
    }

    #[test]
    fn a_subnet_that_is_claimed_is_not_taken() {
        let first = free_net(127, 4242, &[]).unwrap();
        let second = free_net(127, 4242, &[first]).unwrap();
        assert_ne!(first, second);
    }
}

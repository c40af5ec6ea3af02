//! The DCS: which of the sections of stores counts (contract §2.4, "DCS sections").

use crate::Place;
use crate::reader::Reader;
use crate::sections::{Consul, Etcd, Kubernetes, ZooKeeper};

/// The DCS, and how it is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Store {
    /// Sections `etcd3` and `etcd`.
    Etcd(Etcd),
    /// Section `consul`.
    Consul(Consul),
    /// Sections `zookeeper` and `exhibitor`.
    ZooKeeper(ZooKeeper),
    /// Section `kubernetes`.
    Kubernetes(Kubernetes),
}

/// One address of the DCS, and the key that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAddress {
    /// The key, such as `etcd3.hosts.0`.
    pub key: String,
    /// `HOST:PORT`.
    pub host_port: String,
}

/// The sections that this version speaks to.
const SPOKEN: [&str; 6] = [
    "etcd3",
    "etcd",
    "consul",
    "zookeeper",
    "exhibitor",
    "kubernetes",
];
/// The one that it does not.
const UNSPOKEN: [&str; 1] = ["raft"];
/// What to use in its place.
const USE: &str = "use etcd3, consul, zookeeper or kubernetes";

impl Store {
    /// Whether a section of this name tells of a store.
    pub(crate) fn has_section(name: &str) -> bool {
        SPOKEN.contains(&name)
    }

    /// What the store is called, as in `waiting on etcd`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "etcd",
            Self::Consul(_) => "consul",
            Self::ZooKeeper(zookeeper) if zookeeper.exhibitor.is_some() => "exhibitor",
            Self::ZooKeeper(_) => "zookeeper",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Where it is, as far as the settings name addresses.
    pub fn addresses(&self) -> Vec<StoreAddress> {
        match self {
            Self::Etcd(etcd) => {
                let hosts = etcd.hosts.iter().enumerate();
                hosts
                    .map(|(at, url)| StoreAddress {
                        key: format!("etcd3.hosts.{at}"),
                        host_port: host_port(url),
                    })
                    .collect()
            }
            Self::Consul(consul) => vec![StoreAddress {
                key: "consul.host".to_owned(),
                host_port: host_port(&consul.url),
            }],
            Self::ZooKeeper(zookeeper) => of_zookeeper(zookeeper),
            // Where its API is, the pod or a kubeconfig says.
            Self::Kubernetes(_) => Vec::new(),
        }
    }

    /// Reads the one section that counts. A file's section goes before those that only variables made, which a
    /// container platform may have left behind.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let given = |sections: &[&'static str]| -> Vec<&'static str> {
            let given = sections.iter().filter(|section| reader.has(section));
            given.copied().collect()
        };
        let (spoken, unspoken) = (given(&SPOKEN), given(&UNSPOKEN));
        let written = |section: &&&str| is_written(reader, section);
        let chosen: Vec<&str> = spoken.iter().filter(written).copied().collect();
        let refused: Vec<&str> = unspoken.iter().filter(written).copied().collect();
        let (chosen, refused) = match (chosen.is_empty(), refused.is_empty()) {
            (true, true) if spoken.is_empty() => (Vec::new(), unspoken.clone()),
            (true, true) => (spoken.clone(), Vec::new()),
            (true, false) | (false, true) | (false, false) => (chosen, refused),
        };
        for section in &refused {
            reader.fault(section, unsupported(section));
        }
        let Some(section) = chosen.first() else {
            if refused.is_empty() {
                reader.fault("etcd3", nothing_found());
            }
            return None;
        };
        for other in chosen.iter().skip(1) {
            let problem = format!("stands beside `{section}`; keep one of the two sections");
            reader.fault(other, problem);
        }
        let read = match *section {
            "etcd3" | "etcd" => Self::Etcd(Etcd::read(reader, section)),
            "consul" => Self::Consul(Consul::read(reader)),
            "zookeeper" => Self::ZooKeeper(ZooKeeper::read(reader)),
            "exhibitor" => Self::ZooKeeper(ZooKeeper::read_exhibitor(reader)),
            "kubernetes" => Self::Kubernetes(Kubernetes::read(reader)),
            _ => return None,
        };
        let counted = |section: &&&str| !chosen.contains(section) && !refused.contains(section);
        for stray in spoken.iter().chain(&unspoken).filter(counted) {
            let first = reader.mapping(stray).and_then(|keys| keys.keys().next());
            let inside = first.map_or((*stray).to_owned(), |first| format!("{stray}.{first}"));
            reader.warn(
                &inside,
                format!("is left alone; the DCS is {}", read.name()),
            );
        }
        Some(read)
    }
}

/// Whether a file names the section; one that only variables made has no line.
fn is_written(reader: &Reader<'_>, section: &str) -> bool {
    matches!(reader.place(section), Place::File { line: Some(_), .. })
}

/// What is said of a store that this version does not speak to.
pub(crate) fn unsupported(store: &str) -> String {
    format!("DCS {store} is not supported by this version; {USE}")
}

/// Whether a store of this name exists but is not spoken to.
pub(crate) fn is_unsupported(store: &str) -> bool {
    UNSPOKEN.contains(&store)
}

fn nothing_found() -> String {
    let mut implementations = SPOKEN;
    implementations.sort_unstable();
    format!(
        "Can not find suitable configuration of distributed configuration store; give `hosts`. \
         Available implementations: {}",
        implementations.join(", ")
    )
}

/// `HOST:PORT` of a URL.
fn host_port(url: &str) -> String {
    let place = url.split_once("://").map_or(url, |(_, rest)| rest);
    place.split('/').next().unwrap_or_default().to_owned()
}

fn of_zookeeper(zookeeper: &ZooKeeper) -> Vec<StoreAddress> {
    let address = |key: String, host_port: String| StoreAddress { key, host_port };
    match &zookeeper.exhibitor {
        Some(exhibitor) => {
            let hosts = exhibitor.hosts.iter().enumerate();
            hosts
                .map(|(at, host)| {
                    let host_port = format!("{host}:{}", exhibitor.port);
                    address(format!("exhibitor.hosts.{at}"), host_port)
                })
                .collect()
        }
        None => {
            let hosts = zookeeper.hosts.iter().enumerate();
            hosts
                .map(|(at, host)| address(format!("zookeeper.hosts.{at}"), host.to_string()))
                .collect()
        }
    }
}

//! What the command line client needs of the same files: the cluster's name, the DCS and the REST client.

use std::collections::BTreeMap;

use serde_json::Map;

use crate::check;
use crate::layers;
use crate::load::{Gathered, gather, in_order, namespace};
use crate::reader::Reader;
use crate::sections::{
    Citus, Consul, Ctl, Endpoint, Etcd, Store, ZooKeeper, is_unsupported, unsupported,
};
use crate::{Fault, Faults, HostPort, Place, Warning};

/// The settings of the command line client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSettings {
    /// The cluster meant when none is named.
    pub scope: Option<String>,
    /// Prefix of the keys in the DCS, with one slash in front and one behind.
    pub namespace: String,
    /// The DCS.
    pub store: Store,
    /// The REST client.
    pub ctl: Ctl,
    /// The group of a Citus cluster that the file is of, where it is one.
    pub citus: Option<Citus>,
}

/// Sections whose faults matter to the client, beside those of the stores.
const SECTIONS: [&str; 4] = ["scope", "namespace", "ctl", "restapi"];

/// Loads the client's settings from the same files and environment as the agent's. A variable `DCS_URL`,
/// `SCHEME://HOST:PORT/NAMESPACE`, replaces all DCS sections (contract §18.1).
///
/// # Errors
/// Every fault in the sections the client needs, each with its place.
pub fn ctl_settings(
    files: &[(String, String)],
    env: &BTreeMap<String, String>,
) -> Result<(ClientSettings, Vec<Warning>), Faults> {
    let Gathered {
        document,
        mut faults,
        mut warnings,
    } = gather(files, env)?;
    let mut checked = check::local(&document.values, &document.places);
    let concerns = |fault: &Fault| {
        let section = fault.path.split('.').next().unwrap_or_default();
        SECTIONS.contains(&section) || Store::has_section(section)
    };
    checked.faults.retain(&concerns);
    checked.warnings.retain(&concerns);
    faults.extend(checked.faults);
    warnings.extend(checked.warnings);

    let merged = layers::merge(&document.values, &Map::new());
    let mut reader = Reader::new(&merged, &document.places);
    let ctl = Ctl::read(&mut reader);
    let (store, namespace) = match env.get("DCS_URL").filter(|url| !url.is_empty()) {
        Some(url) => match from_url(url) {
            Ok((store, inner)) => {
                let inner = inner.map(|inner| format!("/{inner}/"));
                (Some(store), inner.unwrap_or_else(|| namespace(&reader)))
            }
            Err(problem) => {
                let place = Place::Environment("DCS_URL".to_owned());
                faults.push(Fault {
                    place,
                    path: String::new(),
                    problem,
                });
                (None, String::new())
            }
        },
        None => (Store::read(&mut reader), namespace(&reader)),
    };
    let scope = reader.given("scope");
    faults.append(&mut reader.faults);
    warnings.append(&mut reader.warnings);
    match store {
        Some(store) if faults.is_empty() => Ok((
            ClientSettings {
                scope,
                namespace,
                store,
                ctl,
                citus: Citus::read(&reader),
            },
            in_order(warnings),
        )),
        _ => Err(Faults(in_order(faults))),
    }
}

/// Reads a DCS URL: the store, and the namespace without slashes when it names one. Without a scheme the
/// port tells the store; without anything it is etcd on localhost.
fn from_url(url: &str) -> Result<(Store, Option<String>), String> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, url),
    };
    let rest = match rest {
        rest if rest.is_empty() || rest.starts_with('/') => format!("localhost{rest}"),
        rest if rest.starts_with(':') => format!("localhost{rest}"),
        rest => rest.to_owned(),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let by_port = || {
        let stores = [
            (":2181", "zookeeper"),
            (":8181", "exhibitor"),
            (":8500", "consul"),
        ];
        stores
            .iter()
            .find(|(known, _)| authority.ends_with(known))
            .map_or("etcd", |(_, store)| store)
    };
    let host_port = |endpoint: &Endpoint, port| {
        let place = endpoint.url.split_once("://").map(|(_, rest)| rest);
        HostPort::parse(place.unwrap_or_default(), port)
    };
    let (store, path) = match scheme.as_deref().unwrap_or_else(by_port) {
        which @ ("etcd" | "etcd3") => {
            let endpoint = Endpoint::parse(&rest, "http", 2379)?;
            let etcd = Etcd {
                hosts: vec![endpoint.url],
                username: endpoint.username,
                password: endpoint.password,
                old_api: which == "etcd",
                ..Etcd::default()
            };
            (Store::Etcd(etcd), endpoint.path)
        }
        "consul" => {
            let endpoint = Endpoint::parse(&rest, "http", 8500)?;
            (Store::Consul(Consul::at(endpoint.url)), endpoint.path)
        }
        "zookeeper" => {
            let endpoint = Endpoint::parse(&rest, "http", 2181)?;
            let zookeeper = ZooKeeper::at(host_port(&endpoint, 2181)?);
            (Store::ZooKeeper(zookeeper), endpoint.path)
        }
        "exhibitor" => {
            let endpoint = Endpoint::parse(&rest, "http", 8181)?;
            let zookeeper = ZooKeeper::told_by(host_port(&endpoint, 8181)?);
            (Store::ZooKeeper(zookeeper), endpoint.path)
        }
        store if is_unsupported(store) => return Err(unsupported(store)),
        unknown => return Err(format!("Unknown dcs scheme: {unknown}")),
    };
    Ok((store, Some(path).filter(|path| !path.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, Option<String>), String> {
        from_url(url).map(|(store, namespace)| {
            let place = match &store {
                Store::Etcd(etcd) => etcd.hosts.concat(),
                Store::Consul(consul) => format!("consul at {}", consul.url),
                Store::ZooKeeper(_) => {
                    let place = store.addresses().remove(0).host_port;
                    format!("{} {place}", store.name())
                }
                Store::Kubernetes(_) => store.name().to_owned(),
            };
            (place, namespace)
        })
    }

    #[test]
    fn a_url_names_store_and_namespace() {
        let ok =
            |url: &str, namespace: Option<&str>| Ok((url.to_owned(), namespace.map(str::to_owned)));
        assert_eq!(
            read("etcd://e1:2380/service/"),
            ok("http://e1:2380", Some("service"))
        );
        assert_eq!(read("etcd3://e1"), ok("http://e1:2379", None));
        assert_eq!(read("e1:2379"), ok("http://e1:2379", None));
        assert_eq!(
            read("etcd:///a/b"),
            ok("http://localhost:2379", Some("a/b"))
        );
        assert_eq!(read("zookeeper://z"), ok("zookeeper z:2181", None));
        assert_eq!(read("z:2181/ns"), ok("zookeeper z:2181", Some("ns")));
        assert_eq!(read("exhibitor://x"), ok("exhibitor x:8181", None));
        assert_eq!(
            read("nats://e1"),
            Err("Unknown dcs scheme: nats".to_owned())
        );
        assert_eq!(read("c1:8500/x"), ok("consul at http://c1:8500", Some("x")));
        assert_eq!(read("consul://c1"), ok("consul at http://c1:8500", None));
        let refused = read("kubernetes://k1").unwrap_err();
        assert_eq!(refused, "Unknown dcs scheme: kubernetes");
        let refused = read("raft://r1").unwrap_err();
        assert!(
            refused.starts_with("DCS raft is not supported"),
            "{refused}"
        );
    }
}

//! `--validate-config`: everything that is wrong with the settings and the host, at once (contract §2.6).

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use camino::Utf8Path;
use pgherd_agent::SettingsSource;
use pgherd_api::yaml;
use pgherd_settings::{Loaded, Settings, StoreAddress, validate_dynamic};
use serde_json::Value;

use crate::cli::AgentArgs;

/// A DCS that does not take a connection within this is not reachable.
const REACH_MAX: Duration = Duration::from_secs(3);

/// Looks at the host with settings that were read without a fault. The error lists every one.
///
/// `quiet`: as Patroni, what is only odd is not told.
pub(crate) fn validate(loaded: Loaded, args: &AgentArgs, quiet: bool) -> Result<(), String> {
    let mut faults = Vec::new();
    let of_dcs = Value::Object(loaded.local.bootstrap_dynamic().clone());
    let of_dcs = validate_dynamic(&of_dcs).unwrap_or_default();
    let of_dcs = of_dcs.iter().map(|odd| {
        let text = format!("bootstrap.dcs  {}", odd.problem);
        (text, odd.refuses_the_file())
    });
    let odd = loaded
        .warnings
        .iter()
        .map(|odd| (odd.to_string(), odd.refuses_the_file()));
    for (text, is_fault) in odd.chain(of_dcs) {
        if is_fault || args.strict {
            faults.push(text);
        } else if !quiet {
            eprintln!("warning: {text}");
        }
    }
    let text = args
        .print
        .then(|| yaml::block(&loaded.local.document().clone().into()));
    let source = SettingsSource::new(loaded.local, None);
    let settings = source.in_force();
    faults.extend(unreachable_stores(settings));
    faults.extend(strange_directory(&settings.fixed.place.data_dir));
    if args.ignore_listen_port {
        faults.extend(pgherd_postgres::check_setup_but_port(settings));
    } else {
        faults.extend(taken_port(settings));
        faults.extend(pgherd_postgres::check_setup(settings));
    }
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    if let Some(text) = text {
        print!("{text}");
    }
    Ok(())
}

/// A directory with something in it must hold a cluster.
fn strange_directory(data_dir: &Utf8Path) -> Option<String> {
    let holds_something = fs_err::read_dir(data_dir).is_ok_and(|mut found| found.next().is_some());
    let is_cluster = data_dir.join("PG_VERSION").is_file() && data_dir.join("pg_wal").is_dir();
    (holds_something && !is_cluster).then(|| {
        format!(
            "postgresql.data_dir {data_dir} didn't pass validation: doesn't look like a valid data directory"
        )
    })
}

fn unreachable_stores(settings: &Settings) -> Vec<String> {
    let addresses = settings.fixed.store.addresses().into_iter();
    addresses
        .filter_map(|StoreAddress { key, host_port }| {
            let reached = host_port.to_socket_addrs().is_ok_and(|mut addresses| {
                addresses.any(|address| TcpStream::connect_timeout(&address, REACH_MAX).is_ok())
            });
            (!reached).then(|| {
                format!("{key} {host_port} didn't pass validation: {host_port} is not reachable")
            })
        })
        .collect()
}

fn taken_port(settings: &Settings) -> Option<String> {
    let listen = &settings.changing.restapi.listen;
    let host = match listen.host.as_str() {
        "*" | "" => "0.0.0.0",
        host => host,
    };
    let port = listen.port;
    let mut addresses = (host, port).to_socket_addrs().ok()?;
    let error = TcpListener::bind(addresses.next()?).err()?;
    (error.kind() == std::io::ErrorKind::AddrInUse).then(|| {
        format!(
            "restapi.listen {host}:{port} didn't pass validation: Port {port} is already in use."
        )
    })
}

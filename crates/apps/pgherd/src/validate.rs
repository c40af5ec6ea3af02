//! `--validate-config`: everything that is wrong with the settings and the host, at once (contract §2.6).

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use pgherd_agent::SettingsSource;
use pgherd_api::yaml;
use pgherd_settings::{Loaded, Settings};

use crate::cli::AgentArgs;

/// A DCS that does not take a connection within this is not reachable.
const REACH_MAX: Duration = Duration::from_secs(3);

/// Looks at the host with settings that were read without a fault. The error lists every one.
///
/// `quiet`: as Patroni, what is only odd is not told.
pub(crate) fn validate(loaded: Loaded, args: &AgentArgs, quiet: bool) -> Result<(), String> {
    let mut faults = Vec::new();
    for warning in &loaded.warnings {
        if args.strict {
            faults.push(warning.to_string());
        } else if !quiet {
            eprintln!("warning: {warning}");
        }
    }
    let text = args
        .print
        .then(|| yaml::block(&loaded.local.document().clone().into()));
    let source = SettingsSource::new(loaded.local, None);
    let settings = source.in_force();
    faults.extend(unreachable_stores(settings));
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

fn unreachable_stores(settings: &Settings) -> Vec<String> {
    let hosts = settings.fixed.etcd.hosts.iter().enumerate();
    hosts
        .filter_map(|(at, url)| {
            let place = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            let place = place.split('/').next().unwrap_or_default();
            let reached = place.to_socket_addrs().is_ok_and(|mut addresses| {
                addresses.any(|address| TcpStream::connect_timeout(&address, REACH_MAX).is_ok())
            });
            (!reached).then(|| {
                format!("etcd3.hosts.{at} {place} didn't pass validation: {place} is not reachable")
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

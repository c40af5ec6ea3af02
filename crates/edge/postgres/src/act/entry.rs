//! Whom the server lets in. A server that may hold commits which no standby has is started with a pg_hba.conf of its
//! own, beside the data directory, that keeps clients out; the operator's file is never touched.
//!
//! The file is named on the command line (`--hba_file`), so a server that anybody else starts reads the operator's
//! file. It is opened by becoming what includes the operator's file (16 and later), or a link to it; and it is never
//! removed, because `pg_ctl restart` names it again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use camino::Utf8PathBuf;
use fs_err as fs;
use pgherd_domain::{Entry, SyncMode, WorkError};
use pgherd_pgconf::{
    Agents, CLOSED_MARK, closed_hba, including_hba, parse_options_file, parse_settings,
};
use pgherd_ports::AdjustError;
use pgherd_settings::Settings;
use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Doing as _, not_written};
use crate::connect::Door;
use crate::files::{read, sibling, sync_folder_of};
use crate::observe::DISK_PATIENCE;
use crate::place::Place;
use crate::server::LocalServer;

/// From this version on pg_hba.conf can include files.
const INCLUDES: u32 = 16;
/// How long PostgreSQL may take to read the operator's file.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);
/// What is wrong with the file that is to hold, one line for each fault; empty: nothing.
const FAULTS: &str = "SELECT coalesce(string_agg(format('line %s: %s', line_number, error), '; '), '') \
                      FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL";

impl LocalServer {
    /// Whether clients get in, or the next server that is started will let them in. `None`: the disk is slow.
    pub(crate) async fn entry(&self) -> Option<Entry> {
        let (place, settings) = (self.place.clone(), self.settings());
        let looking = spawn_blocking(move || look(&place, &settings));
        timeout(DISK_PATIENCE, looking).await.ok()?.ok()
    }

    /// Lets no client in from the next start on.
    pub(super) async fn close_entry(&self) -> Result<(), AdjustError> {
        self.write_closed().await.map_err(AdjustError::Refused)
    }

    /// Lets clients in, at once where the server runs.
    pub(super) async fn open_entry(&self) -> Result<(), AdjustError> {
        let text = read(&own_file(&self.place)).ok().flatten();
        let closed = text.filter(|text| text.starts_with(CLOSED_MARK));
        self.write_open().map_err(|error| not_written(&error))?;
        let Some(postmaster) = self.postmaster().await else {
            return Ok(());
        };
        let door = self.door().await;
        let pid = postmaster.file.pid;
        let asking = self
            .heartbeat
            .ask_statement(door, pid, FAULTS, CHECK_PATIENCE);
        let faults = asking.await;
        if let (Ok(faults), Some(closed)) = (&faults, &closed)
            && !faults.is_empty()
        {
            // PostgreSQL would go on with the closed file, and this agent would take it for open.
            self.put(closed).map_err(|error| not_written(&error))?;
            let real = real_file(&self.place, &self.settings());
            return Err(AdjustError::Refused(format!(
                "{real} is at fault, and clients stay out until it is corrected: {faults}"
            )));
        }
        postmaster
            .signal(Signal::HUP)
            .map_err(|error| AdjustError::NotAnswering(error.to_string()))?;
        tracing::info!("PostgreSQL is open to clients.");
        Ok(())
    }

    /// A start's own option for the closed file, which is made anew from what the operator's file says now.
    pub(super) async fn entry_option(&self) -> Result<Option<String>, WorkError> {
        if !is_closed(&self.place) {
            return Ok(None);
        }
        let closed = self.write_closed().await;
        if let Err(why) = closed {
            tracing::warn!(
                "PostgreSQL is started open to clients, because it can not be closed: {why}"
            );
            self.write_open().doing("write pg_hba.conf")?;
            return Ok(None);
        }
        tracing::info!("PostgreSQL is started closed to clients.");
        Ok(Some(self.own_hba_option()))
    }

    /// Ends the wait of a standby that has lost its upstream: a reload wakes the startup process, which then tries again.
    pub(super) async fn seek_upstream(&self) -> Result<(), AdjustError> {
        let Some(postmaster) = self.postmaster().await else {
            return Err(AdjustError::NotAnswering("it does not run".to_owned()));
        };
        postmaster
            .signal(Signal::HUP)
            .map_err(|error| AdjustError::NotAnswering(error.to_string()))
    }

    /// Whether the server that runs, or the one that is started next, has been told of the file beside the data directory.
    pub(crate) async fn names_own_hba_file(&self) -> bool {
        if self.running().await.is_none() {
            return is_closed(&self.place);
        }
        let told = read(&self.place.data_dir().join("postmaster.opts"));
        let told = told.ok().flatten().unwrap_or_default();
        parse_options_file(&told).contains(&self.own_hba_option())
    }

    /// What PostgreSQL says of its `hba_file` while it has that file.
    pub(crate) fn is_own_hba_file(&self, running: &str) -> bool {
        own_file(&self.place).as_str() == running
    }

    fn own_hba_option(&self) -> String {
        format!("--hba_file={}", own_file(&self.place))
    }

    async fn write_closed(&self) -> Result<(), String> {
        let (place, settings) = (self.place.clone(), self.settings());
        let rendering = spawn_blocking(move || rendered(&place, &settings));
        let text = rendering.await.map_err(|error| error.to_string())??;
        self.put(&text).map_err(|error| error.to_string())
    }

    fn write_open(&self) -> io::Result<()> {
        let real = real_file(&self.place, &self.settings());
        if self.place.major() >= INCLUDES {
            return self.put(&including_hba(&real));
        }
        let own = own_file(&self.place);
        let fresh = sibling(&own, ".link");
        crate::files::remove(&fresh)?;
        std::os::unix::fs::symlink(&real, &fresh)?;
        fs::rename(&fresh, &own)?;
        sync_folder_of(&own)
    }

    /// Replaces the file itself, also where it is a link.
    fn put(&self, text: &str) -> io::Result<()> {
        let own = own_file(&self.place);
        let fresh = sibling(&own, ".next");
        crate::files::remove(&fresh)?;
        // It tells who may connect how, as the operator's file in the data directory does.
        self.place.files().write_with_mode(&fresh, text, 0o600)?;
        fs::rename(&fresh, &own)?;
        sync_folder_of(&own)
    }
}

/// `.pgherd-NAME.hba` beside the data directory: inside of it pg_rewind and copies would take it along.
fn own_file(place: &Place) -> Utf8PathBuf {
    let name = place.data_dir().file_name().unwrap_or("data");
    place
        .data_dir()
        .with_file_name(format!(".pgherd-{name}.hba"))
}

/// The operator's file: as ALTER SYSTEM or the parameters name it, else the one beside postgresql.conf.
fn real_file(place: &Place, settings: &Settings) -> Utf8PathBuf {
    let auto = read(&place.data_dir().join("postgresql.auto.conf"));
    let auto = auto.ok().flatten().unwrap_or_default();
    let parameters = &settings.changing.postgresql.parameters;
    let named = parse_settings(&auto)
        .remove("hba_file")
        .or_else(|| parameters.get("hba_file").cloned());
    let file = named.map_or_else(|| place.config("pg_hba.conf"), Utf8PathBuf::from);
    // A relative one is relative to the data directory.
    place.data_dir().join(file)
}

fn is_closed(place: &Place) -> bool {
    let text = read(&own_file(place)).ok().flatten();
    text.is_some_and(|text| text.starts_with(CLOSED_MARK))
}

fn look(place: &Place, settings: &Settings) -> Entry {
    if is_closed(place) {
        return Entry::Closed;
    }
    let is_running = place.data_dir().join("PG_VERSION").exists();
    if settings.changing.cluster.synchronous_mode == SyncMode::Off || !is_running {
        return Entry::Open;
    }
    match rendered(place, settings) {
        Ok(_) => Entry::Open,
        Err(why) => Entry::Unclosable { why },
    }
}

/// The closed form of the operator's file as it is now.
fn rendered(place: &Place, settings: &Settings) -> Result<String, String> {
    let real = real_file(place, settings);
    let text = read(&real).map_err(|error| error.to_string())?;
    let text = text.ok_or_else(|| format!("{real} is not there"))?;
    let users = &settings.changing.postgresql.authentication;
    let owner = place.owner().name.as_str();
    let addresses = addresses(&Door::local(settings, None));
    let agents = Agents {
        superuser: users.superuser.username.as_deref().unwrap_or(owner),
        rewind: users.for_rewind().username.as_deref().unwrap_or(owner),
        addresses: addresses.as_deref(),
    };
    closed_hba(&text, &real, &agents)
}

/// From where the agent's own connections come. `None`: through the unix socket.
fn addresses(door: &Door) -> Option<Vec<IpAddr>> {
    let host = door.host.as_str();
    if host.starts_with('/') {
        return None;
    }
    if host == "localhost" {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    // A host with several addresses need not come from the one that it connects to. Nothing is sent.
    let source = |to: SocketAddr| -> io::Result<IpAddr> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    };
    let found = (host, door.port).to_socket_addrs().into_iter().flatten();
    Some(
        found
            .map(|to| source(to).unwrap_or_else(|_| to.ip()))
            .collect(),
    )
}

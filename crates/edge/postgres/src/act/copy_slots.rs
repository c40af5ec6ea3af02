//! Copying logical slots from the primary (contract §7): up to PostgreSQL 16 a standby can not make them, but a
//! file of the primary's in pg_replslot is as good there. What could keep the server from starting with it is
//! found out before it is stopped.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use pgherd_domain::{LogicalSlot, Lsn, PgRole, SlotName, StartAs, StopMode, Upstream, WorkError};
use pgherd_pgconf::{sql_literal, wanted_controlled};
use pgherd_ports::Progress;
use tokio_postgres::Client;

use super::Doing as _;
use super::logical_slots::{open_first, rows};
use crate::connect::Door;
use crate::server::LocalServer;

/// How long the primary may take to give the files.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Where `restart_lsn` stands in a state file, behind magic, checksum, version, length, name, database,
/// persistency, xmin and catalog_xmin (PostgreSQL 11 to 17, little-endian hosts).
const RESTART_LSN_AT: usize = 96;
const NAME_AT: usize = 16;
/// The first bytes of every state file (`SLOT_MAGIC`).
const MAGIC: u32 = 0x0105_1CA1;

impl LocalServer {
    /// Reads the slots' files from `source`, stops, writes them, starts again.
    pub(super) async fn copy_slots(
        &self,
        (source, slots): (&Upstream, &BTreeMap<SlotName, LogicalSlot>),
        upstream: Option<&Upstream>,
        timeout: Duration,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let named: Vec<&str> = slots.keys().map(SlotName::as_str).collect();
        progress.say(format!("copying logical slots from {source}"));
        let reading = self.read_slots(source, slots);
        let read = tokio::time::timeout(READ_PATIENCE, reading).await;
        let what = format!("read the logical slots {} from {source}", named.join(", "));
        let read = read
            .map_err(|_| format!("no answer within {READ_PATIENCE:?}"))
            .flatten()
            .doing(&what)?;
        self.can_hold(&read)
            .await
            .doing("copy logical slots to this replica")?;
        self.before_stop(None).await;
        self.stop_silently(StopMode::Fast, None).await?;
        let folder = self.place.data_dir().join("pg_replslot");
        let written = self.write_slots(&folder, &read);
        let start_as = StartAs::Replica {
            upstream: upstream.cloned(),
        };
        let mut started = self.start_silently(&start_as, timeout).await;
        if started.is_err() && self.held().is_none() {
            // Better a replica without the slots than none.
            tracing::error!(
                "the replica did not start with the copied slots; they are removed again"
            );
            for slot in read.keys() {
                let removed = fs::remove_dir_all(folder.join(slot.as_str()));
                removed.doing("remove a copied slot")?;
            }
            self.start_silently(&start_as, timeout).await?;
            started = Err(WorkError::Failed(format!(
                "PostgreSQL did not start with copies of {}; see its log",
                named.join(", ")
            )));
        }
        if started.is_ok() {
            self.tell_restarted(PgRole::Replica).await;
        }
        for slot in read.keys() {
            self.logical.renewed(slot);
        }
        started.and(written.doing("write the copied slots"))
    }

    /// The files of those slots that are on the primary what the settings say.
    async fn read_slots(
        &self,
        source: &Upstream,
        slots: &BTreeMap<SlotName, LogicalSlot>,
    ) -> Result<BTreeMap<SlotName, Vec<u8>>, String> {
        let client = open_first(self.source_doors(source)).await?;
        let names: Vec<String> = slots
            .keys()
            .map(|slot| sql_literal(slot.as_str()))
            .collect();
        let found = rows(
            &client,
            &format!(
                "SELECT slot_name, database, plugin, \
                 encode(pg_read_binary_file('pg_replslot/' || slot_name || '/state'), 'hex') \
                 FROM pg_replication_slots WHERE NOT pg_is_in_recovery() \
                 AND slot_type = 'logical' AND slot_name IN ({})",
                names.join(", ")
            ),
        )
        .await?;
        let mut read = BTreeMap::new();
        for row in &found {
            let slot = SlotName::existing(row.get(0).unwrap_or_default());
            let Some(wanted) = slots.get(&slot) else {
                continue;
            };
            let is = (row.get(1), row.get(2));
            if is != (Some(&*wanted.database), Some(&*wanted.plugin)) {
                tracing::warn!(
                    "Will not copy the logical slot \"{slot}\" due to the configuration mismatch: \
                     configuration={wanted:?}, slot on the primary={is:?}"
                );
                continue;
            }
            let bytes = from_hex(row.get(3).unwrap_or_default())
                .filter(|bytes| is_state_of(bytes, &slot))
                .ok_or_else(|| format!("the file of the slot {slot} is not understood"))?;
            read.insert(slot, bytes);
        }
        if read.is_empty() {
            return Err("the primary has none of them as the settings say".to_owned());
        }
        Ok(read)
    }

    /// Whether this server would start with the slots, and has the WAL that they need.
    async fn can_hold(&self, slots: &BTreeMap<SlotName, Vec<u8>>) -> Result<(), String> {
        if wanted_controlled(&self.settings())
            .get("wal_level")
            .map(String::as_str)
            != Some("logical")
        {
            return Err("wal_level is not logical; set it in the dynamic configuration".to_owned());
        }
        let client = self
            .door()
            .await
            .open(None)
            .await
            .map_err(|error| error.to_string())?;
        let names: Vec<String> = slots
            .keys()
            .map(|slot| sql_literal(slot.as_str()))
            .collect();
        let statement = format!(
            "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name NOT IN ({})) + {} \
             <= current_setting('max_replication_slots')::int",
            names.join(", "),
            slots.len()
        );
        if !is_true(&client, &statement).await? {
            return Err("max_replication_slots is too small for them; raise it".to_owned());
        }
        for (slot, bytes) in slots {
            let restart = restart_of(bytes).unwrap_or_default();
            let statement = format!(
                "WITH segment AS (SELECT pg_size_bytes(current_setting('wal_segment_size')) AS span) \
                 SELECT EXISTS (SELECT FROM segment, pg_ls_waldir() WHERE name ~ '^[0-9A-F]{{24}}$' AND \
                 ('x' || substr(name, 9, 8))::bit(32)::bigint * (4294967296 / span) + \
                 ('x' || substr(name, 17, 8))::bit(32)::bigint <= {} / span)",
                restart.as_u64()
            );
            if !is_true(&client, &statement).await? {
                return Err(format!(
                    "the slot {slot} needs WAL from {restart} on, which this replica has no more; it is \
                     copied when its consumer has moved on"
                ));
            }
        }
        Ok(())
    }

    /// Each file is there as a whole or not at all, whatever happens.
    fn write_slots(
        &self,
        folder: &Utf8Path,
        slots: &BTreeMap<SlotName, Vec<u8>>,
    ) -> io::Result<()> {
        let files = self.place.files();
        for (slot, bytes) in slots {
            let place: Utf8PathBuf = folder.join(slot.as_str());
            // PostgreSQL itself removes what ends so at its start.
            let fresh = folder.join(format!("{slot}.tmp"));
            for old in [&fresh, &place] {
                if old.exists() {
                    fs::remove_dir_all(old)?;
                }
            }
            files.make_folder(&fresh)?;
            let path = fresh.join("state");
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            files.give(&path)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, mode)?;
            fs::File::open(&fresh)?.sync_all()?;
            fs::rename(&fresh, &place)?;
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Ways into another server for what only a superuser or the rewind user may read.
    pub(super) fn source_doors(&self, source: &Upstream) -> Vec<Door> {
        let logins = self.settings().changing.postgresql.authentication.clone();
        let mut doors = vec![self.door_to(source, &logins.superuser)];
        if logins.rewind.is_some() {
            doors.insert(0, self.door_to(source, logins.for_rewind()));
        }
        doors
    }
}

async fn is_true(client: &Client, statement: &str) -> Result<bool, String> {
    let rows = rows(client, statement).await?;
    Ok(rows.first().and_then(|row| row.get(0)) == Some("t"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn is_state_of(bytes: &[u8], slot: &SlotName) -> bool {
    let magic = bytes.get(..4) == Some(&MAGIC.to_le_bytes());
    let name = bytes.get(NAME_AT..NAME_AT + 64);
    let name = name.and_then(|name| name.split(|byte| *byte == 0).next());
    magic && name == Some(slot.as_str().as_bytes()) && restart_of(bytes).is_some()
}

fn restart_of(bytes: &[u8]) -> Option<Lsn> {
    let field = bytes.get(RESTART_LSN_AT..RESTART_LSN_AT + 8)?;
    Some(Lsn::new(u64::from_le_bytes(field.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state file of a slot as PostgreSQL 15 on x86-64 writes it, in its relevant parts.
    fn state(name: &str, restart: u64) -> Vec<u8> {
        let mut bytes = vec![0; 200];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(name.as_bytes());
        bytes[RESTART_LSN_AT..RESTART_LSN_AT + 8].copy_from_slice(&restart.to_le_bytes());
        bytes
    }

    #[test]
    fn a_state_file_tells_its_name_and_from_where_it_needs_wal() {
        let bytes = state("cdc", 0x0300_0028);
        assert!(is_state_of(&bytes, &SlotName::existing("cdc")));
        assert!(!is_state_of(&bytes, &SlotName::existing("cd")));
        assert!(!is_state_of(&bytes[..90], &SlotName::existing("cdc")));
        assert_eq!(restart_of(&bytes), Some(Lsn::new(0x0300_0028)));
        assert!(!is_state_of(&[], &SlotName::existing("")));
    }

    #[test]
    fn hex_is_read_and_rubbish_is_not() {
        assert_eq!(from_hex("0aff"), Some(vec![10, 255]));
        assert_eq!(from_hex("0g"), None);
    }
}

//! Logical slots: made on the primary, moved forward on a replica, compared with the primary's. What takes its
//! time goes on in the background, so that no turn waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_domain::{Horizons, Lsn, SlotName, SlotSeen, Upstream};
use pgherd_pgconf::sql_literal;
use pgherd_ports::AdjustError;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::connect::Door;
use crate::server::LocalServer;

/// How long a turn waits for a slot that is made at once, as most are.
const CREATION_PATIENCE: Duration = Duration::from_millis(500);
/// How long the primary may take to say its horizons.
const COMPARE_PATIENCE: Duration = Duration::from_secs(5);
/// Decoding takes as long as it takes.
const OPTIONS: &str = "-c statement_timeout=0 -c search_path=pg_catalog";
/// A file is missing, or the slot was invalidated: no later attempt can succeed (contract §7).
const HOPELESS: [&str; 2] = ["58P01", "55000"];

/// What goes on, and what came of it.
#[derive(Debug, Default)]
struct Book {
    /// Databases in which slots are being moved.
    moving: BTreeSet<String>,
    /// The primary is being asked.
    comparing: bool,
    /// Slots that are being made.
    creating: BTreeMap<String, JoinHandle<Result<(), String>>>,
    broken: BTreeMap<String, String>,
    horizons: BTreeMap<String, Horizons>,
}

/// The logical slots of this server.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogicalSlots(Arc<Mutex<Book>>);

impl LogicalSlots {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what is known of slots to what the server says of them.
    pub(crate) fn complete(&self, slots: &mut BTreeMap<String, SlotSeen>) {
        let book = self.book();
        for (name, slot) in slots {
            slot.broken = book.broken.get(name).cloned();
            slot.horizons = book.horizons.get(name).copied();
        }
    }

    /// Forgets what was known of a slot: it is another one now.
    pub(super) fn renewed(&self, slot: &SlotName) {
        let mut book = self.book();
        book.broken.remove(slot.as_str());
        book.horizons.remove(slot.as_str());
    }
}

impl LocalServer {
    /// Makes a logical slot in its database; one that exists stays. It waits for transactions that run, which
    /// a turn does not: what is not done yet goes on, and is looked at again by the next order.
    pub(super) async fn create_logical_slot(
        &self,
        slot: &SlotName,
        (database, plugin): (&str, &str),
        failover: bool,
    ) -> Result<(), AdjustError> {
        let key = slot.as_str().to_owned();
        let known = self.logical.book().creating.remove(&key);
        let mut task = match known {
            Some(task) => task,
            None => {
                let door = self.door_into(database).await;
                let statement = creation(slot, plugin, failover);
                tokio::spawn(async move {
                    let client = door.open(None).await.map_err(|error| error.to_string())?;
                    let made = client.simple_query(&statement).await;
                    made.map(drop).map_err(|error| said(&error))
                })
            }
        };
        match tokio::time::timeout(CREATION_PATIENCE, &mut task).await {
            Ok(Ok(made)) => made.map_err(AdjustError::Refused),
            Ok(Err(error)) => Err(AdjustError::NotAnswering(error.to_string())),
            Err(_) => {
                self.logical.book().creating.insert(key, task);
                Err(AdjustError::NotAnswering(
                    "it waits for transactions that run now, and goes on waiting".to_owned(),
                ))
            }
        }
    }

    /// Begins to move slots, a task for each database in which none runs, and to ask the primary for its
    /// horizons.
    pub(super) async fn keep_logical_slots(
        &self,
        advance: &BTreeMap<SlotName, (String, Lsn)>,
        compare: Option<&(Upstream, SlotName, Vec<SlotName>)>,
    ) {
        let mut by_database: BTreeMap<&String, Vec<(SlotName, Lsn)>> = BTreeMap::new();
        for (slot, (database, to)) in advance {
            by_database
                .entry(database)
                .or_default()
                .push((slot.clone(), *to));
        }
        for (database, slots) in by_database {
            if !self.logical.book().moving.insert(database.clone()) {
                continue;
            }
            let (logical, database) = (self.logical.clone(), database.clone());
            let door = self.door_into(&database).await;
            tokio::spawn(async move {
                move_slots(&logical, door, slots).await;
                logical.book().moving.remove(&database);
            });
        }
        let Some((primary, standby, slots)) = compare else {
            return;
        };
        if std::mem::replace(&mut self.logical.book().comparing, true) {
            return;
        }
        let logical = self.logical.clone();
        let doors = self.source_doors(primary);
        let (standby, slots) = (standby.clone(), slots.clone());
        tokio::spawn(async move {
            let asking = ask_horizons(doors, &standby, &slots);
            match tokio::time::timeout(COMPARE_PATIENCE, asking).await {
                Ok(Ok(found)) => logical.book().horizons.extend(found),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "Failed to check {standby} physical slot on the primary");
                }
                Err(_) => tracing::warn!("the primary does not say how far its slots are"),
            }
            logical.book().comparing = false;
        });
    }

    async fn door_into(&self, database: &str) -> Door {
        Door {
            database: database.to_owned(),
            options: OPTIONS,
            ..self.door().await
        }
    }
}

fn creation(slot: &SlotName, plugin: &str, failover: bool) -> String {
    let (name, plugin) = (sql_literal(slot.as_str()), sql_literal(plugin));
    // The two between are `temporary` and `twophase`; the last exists from 17 on.
    let further = if failover { ", false, false, true" } else { "" };
    format!(
        "SELECT pg_create_logical_replication_slot({name}, {plugin}{further}) \
         WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})"
    )
}

async fn move_slots(logical: &LogicalSlots, door: Door, slots: Vec<(SlotName, Lsn)>) {
    let client = match door.open(None).await {
        Ok(client) => client,
        Err(error) => {
            return tracing::warn!(%error, "Failed to advance logical replication slots in '{}'", door.database);
        }
    };
    for (slot, to) in slots {
        let name = sql_literal(slot.as_str());
        let statement = format!("SELECT pg_replication_slot_advance({name}, '{to}')");
        let Err(error) = client.simple_query(&statement).await else {
            continue;
        };
        let text = said(&error);
        tracing::warn!("Failed to advance logical replication slot '{slot}': {text}");
        let code = error.as_db_error().map(|db| db.code().code());
        if code.is_some_and(|code| HOPELESS.contains(&code)) {
            logical.book().broken.insert(slot.as_str().to_owned(), text);
        }
    }
}

/// What the primary keeps for `slots`, and through `standby` for this server.
async fn ask_horizons(
    doors: Vec<Door>,
    standby: &SlotName,
    slots: &[SlotName],
) -> Result<BTreeMap<String, Horizons>, String> {
    let client = open_first(doors).await?;
    let names: Vec<String> = slots
        .iter()
        .chain([standby])
        .map(|slot| sql_literal(slot.as_str()))
        .collect();
    let rows = rows(
        &client,
        &format!(
            "SELECT slot_name, catalog_xmin FROM pg_replication_slots \
             WHERE NOT pg_is_in_recovery() AND slot_name IN ({})",
            names.join(", ")
        ),
    )
    .await?;
    let found: BTreeMap<String, Option<u32>> = rows
        .iter()
        .filter_map(|row| {
            let xmin = row.get(1).and_then(|text| text.parse().ok());
            Some((row.get(0)?.to_owned(), xmin))
        })
        .collect();
    let standby = found
        .get(standby.as_str())
        .ok_or_else(|| format!("Physical slot {standby} does not exist on the primary"))?;
    Ok(slots
        .iter()
        .filter_map(|slot| {
            let horizons = Horizons {
                slot: (*found.get(slot.as_str())?)?,
                standby: *standby,
            };
            Some((slot.as_str().to_owned(), horizons))
        })
        .collect())
}

/// The first of the doors that opens.
pub(super) async fn open_first(doors: Vec<Door>) -> Result<Client, String> {
    let mut why = "no login".to_owned();
    for door in doors {
        match door.open(None).await {
            Ok(client) => return Ok(client),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// The rows of an answer.
pub(super) async fn rows(client: &Client, statement: &str) -> Result<Vec<SimpleQueryRow>, String> {
    let messages = client.simple_query(statement).await;
    let messages = messages.map_err(|error| said(&error))?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect())
}

/// What the server said, without the driver's words.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => match db.hint() {
            Some(hint) => format!("{} ({hint})", db.message()),
            None => db.message().to_owned(),
        },
        None => error.to_string(),
    }
}

//! Physical replication slots, and the old data directory: small changes that are safe to repeat.

use std::time::Duration;

use pgherd_domain::{Lsn, SlotName};
use pgherd_pgconf::sql_literal;
use pgherd_ports::AdjustError;

use crate::connect::{Door, SqlError};
use crate::server::LocalServer;

/// How long one change may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl LocalServer {
    /// Makes a slot that keeps WAL from now on; one that exists stays.
    pub(super) async fn create_slot(&self, slot: &SlotName) -> Result<(), AdjustError> {
        let name = sql_literal(slot.as_str());
        self.change_slot(&format!(
            "SELECT pg_create_physical_replication_slot({name}, true) WHERE NOT EXISTS \
             (SELECT FROM pg_replication_slots WHERE slot_name = {name})"
        ))
        .await
    }

    /// Lets a replay go on that waits for larger parameters.
    pub(super) async fn resume_replay(&self) -> Result<(), AdjustError> {
        tracing::info!(
            "resuming WAL replay that waits for larger parameters: the server will restart with them"
        );
        self.change_slot("SELECT pg_wal_replay_resume()").await
    }

    /// Drops a slot; one that is gone already is dropped.
    pub(super) async fn drop_slot(&self, slot: &SlotName) -> Result<(), AdjustError> {
        let name = sql_literal(slot.as_str());
        self.change_slot(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE slot_name = {name}"
        ))
        .await
    }

    /// Moves a slot forward. WAL that this server does not have yet is not skipped.
    pub(super) async fn advance_slot(&self, slot: &SlotName, to: Lsn) -> Result<(), AdjustError> {
        let name = sql_literal(slot.as_str());
        self.change_slot(&format!(
            "SELECT pg_replication_slot_advance(slot_name, '{to}') FROM pg_replication_slots \
             WHERE slot_name = {name} AND restart_lsn < '{to}'"
        ))
        .await
    }

    /// Removes the data directory that a clone had set aside.
    pub(super) async fn forget_old_directory(&self) -> Result<(), AdjustError> {
        let aside = self.aside();
        if !aside.remembers() {
            return Ok(());
        }
        let forgetting = tokio::task::spawn_blocking(move || aside.forget());
        let forgotten = forgetting.await.map_err(std::io::Error::other);
        forgotten.flatten().map_err(|error| {
            AdjustError::Refused(format!("remove the old data directory: {error}"))
        })
    }

    async fn change_slot(&self, statement: &str) -> Result<(), AdjustError> {
        let Some(file) = self.running().await else {
            return Err(AdjustError::NotAnswering("it does not run".to_owned()));
        };
        let asking = self.heartbeat.ask_statement(
            Door::local(&self.settings(), Some(&file)),
            file.pid,
            statement,
            PATIENCE,
        );
        match asking.await {
            // No row, or a row without a value: both are as it should be.
            Ok(_) | Err(SqlError::Strange(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

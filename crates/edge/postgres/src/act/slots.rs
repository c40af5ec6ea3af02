//! Physical replication slots, and the old data directory: small changes that are safe to repeat.

use std::time::Duration;

use pgherd_domain::{Lsn, SlotName};
use pgherd_pgconf::sql_literal;
use pgherd_ports::AdjustError;

use crate::connect::{Door, SqlError, ask};
use crate::server::LocalServer;

/// How long one change may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the creation of a logical slot may wait for transactions that run.
const LOGICAL_PATIENCE: Duration = Duration::from_millis(1_000);

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

    /// Makes a logical slot in its database; one that exists stays.
    pub(super) async fn create_logical_slot(
        &self,
        slot: &SlotName,
        database: &str,
        plugin: &str,
    ) -> Result<(), AdjustError> {
        let (name, plugin) = (sql_literal(slot.as_str()), sql_literal(plugin));
        let door = Door {
            database: database.to_owned(),
            ..self.door().await
        };
        let client = door.open(None).await?;
        // It waits for transactions that run: the loop must not. What is left is tried at a later turn.
        let statement = format!(
            "SET statement_timeout = {}; SELECT pg_create_logical_replication_slot({name}, {plugin}) \
             WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})",
            LOGICAL_PATIENCE.as_millis()
        );
        ask(&client, &statement, PATIENCE).await?;
        Ok(())
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

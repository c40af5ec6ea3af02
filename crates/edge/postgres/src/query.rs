//! The heartbeat: one connection and one statement that tells everything about the running server.

use std::sync::Arc;
use std::time::Duration;

use pgherd_ports::Wake;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::connect::{Door, SqlError, ask_value};

/// Every value that [`crate::live`] reads, as one JSON object (contract §3.6). Recovery is asked once and
/// first: it can only end, so what is asked for a server in recovery stays allowed.
const STATEMENT: &str = r#"
WITH server AS MATERIALIZED (SELECT pg_is_in_recovery() AS recovering),
     receiver AS MATERIALIZED (SELECT * FROM pg_stat_get_wal_receiver() WHERE pid IS NOT NULL)
SELECT json_build_object(
  'in_recovery', recovering,
  'timeline', CASE WHEN recovering THEN COALESCE(
      (SELECT NULLIF(received_tli, 0) FROM receiver),
      GREATEST((SELECT timeline_id FROM pg_control_checkpoint()),
               (SELECT min_recovery_end_timeline FROM pg_control_recovery())))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'flushed', CASE WHEN recovering THEN NULL ELSE pg_current_wal_flush_lsn() END,
  'received', CASE WHEN recovering THEN
      GREATEST(pg_last_wal_receive_lsn(), (SELECT written_lsn FROM receiver)) END,
  'replayed', CASE WHEN recovering THEN pg_last_wal_replay_lsn() END,
  'replayed_at', CASE WHEN recovering THEN
      to_char(pg_last_xact_replay_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USTZH:TZM') END,
  'replay_paused', CASE WHEN recovering THEN pg_is_wal_replay_paused() ELSE false END,
  'apply_delay', (EXTRACT(epoch FROM current_setting('recovery_min_apply_delay')::interval) * 1000)::bigint,
  'stop_before', COALESCE(NULLIF(current_setting('recovery_target_time'), ''),
      current_setting('recovery_target_lsn')),
  'feedback', current_setting('hot_standby_feedback')::bool,
  'synchronize', current_setting('sync_replication_slots', true)::bool,
  'awaited', current_setting('synchronized_standby_slots', true),
  'receiver', (SELECT json_build_object(
      'status', status, 'conninfo', conninfo, 'slot', slot_name, 'timeline', received_tli,
      'latest_end', latest_end_lsn, 'host', sender_host, 'port', sender_port) FROM receiver),
  'version', current_setting('server_version_num')::int,
  'started_at', to_char(pg_postmaster_start_time(), 'YYYY-MM-DD HH24:MI:SS.USTZH:TZM'),
  'slots', (SELECT json_agg(json_build_object(
      'name', slot_name, 'logical', slot_type = 'logical', 'active', active, 'temporary', temporary,
      'restart', restart_lsn, 'confirmed_flush', confirmed_flush_lsn,
      'has_xmin', xmin IS NOT NULL, 'lost', COALESCE(wal_status = 'lost', false),
      'database', database, 'plugin', plugin, 'catalog_xmin', catalog_xmin::text::bigint,
      'failover', COALESCE((to_jsonb(s) ->> 'failover')::bool, false),
      'synced', COALESCE((to_jsonb(s) ->> 'synced')::bool, false)))
    FROM pg_replication_slots AS s),
  'replication', (SELECT json_agg(json_build_object(
      'application_name', application_name, 'user', usename, 'client', host(client_addr),
      'state', state, 'sync_state', sync_state, 'sync_priority', sync_priority,
      'write', write_lsn, 'flush', flush_lsn, 'replay', replay_lsn))
    FROM pg_stat_replication),
  'synchronous_standby_names', current_setting('synchronous_standby_names'),
  'synchronous_commit', current_setting('synchronous_commit'),
  'primary_conninfo', current_setting('primary_conninfo'),
  'restores', current_setting('restore_command') <> '',
  'controlled', (SELECT json_object_agg(name, current_setting(name)) FROM unnest(ARRAY[
      'listen_addresses', 'port', 'cluster_name', 'wal_level', 'wal_log_hints',
      'track_commit_timestamp', 'max_connections', 'max_wal_senders', 'max_replication_slots',
      'max_prepared_transactions', 'max_locks_per_transaction', 'max_worker_processes']) AS name),
  'pending', (SELECT json_object_agg(name, json_build_array(
      current_setting(name),
      COALESCE((SELECT f.setting FROM pg_file_settings AS f WHERE f.name = s.name
                ORDER BY f.seqno DESC LIMIT 1), '?')))
    FROM pg_settings AS s WHERE pending_restart))
FROM server
"#;

/// Session settings of contract §3.6.
const OPTIONS: &str =
    "-c statement_timeout=2000 -c pg_stat_statements.track=none -c search_path=pg_catalog";

/// How long a glance at the standbys may take.
const PEEK_PATIENCE: Duration = Duration::from_secs(2);

/// The connection, made again when it is broken.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    client: Mutex<Option<(i32, Arc<Client>)>>,
    wake: Wake,
}

impl Heartbeat {
    /// One whose end wakes the loop: the server is going down or has crashed.
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            client: Mutex::default(),
            wake,
        }
    }

    /// Asks the server behind `door`, which is process `postmaster`; gives the JSON text. A broken connection
    /// is made anew once.
    pub(crate) async fn ask(
        &self,
        door: Door,
        postmaster: i32,
        patience: Duration,
    ) -> Result<String, SqlError> {
        self.ask_statement(door, postmaster, STATEMENT, patience)
            .await
    }

    /// Asks one value over the same connection.
    pub(crate) async fn ask_statement(
        &self,
        door: Door,
        postmaster: i32,
        statement: &str,
        patience: Duration,
    ) -> Result<String, SqlError> {
        let asking = async {
            let mut held = self.client.lock().await;
            let known = held.take().filter(|(pid, _)| *pid == postmaster);
            let (client, is_new) = match known {
                Some((_, client)) => (client, false),
                None => (self.open(door.clone()).await?, true),
            };
            let (client, answer) = match ask_value(&client, statement, patience).await {
                Err(SqlError::Broken(_)) if !is_new => {
                    let client = self.open(door.clone()).await?;
                    let answer = ask_value(&client, statement, patience).await;
                    (client, answer)
                }
                answer => (client, answer),
            };
            // A connection that did not answer may be in any state: only one that did is kept.
            if matches!(
                answer,
                Ok(_) | Err(SqlError::Refused(_) | SqlError::Strange(_))
            ) {
                *held = Some((postmaster, client));
            }
            answer
        };
        let at = format!("{}:{}", door.host, door.port);
        let asked = tokio::time::timeout(patience, asking).await;
        asked.unwrap_or(Err(SqlError::TimedOut { at, patience }))
    }

    /// Asks one value over the connection as it is, if there is one; may be called off at any time.
    pub(crate) async fn peek(&self, postmaster: i32, statement: &str) -> Option<String> {
        let held = self.client.lock().await;
        let client = held.as_ref().filter(|(pid, _)| *pid == postmaster);
        let client = Arc::clone(&client?.1);
        drop(held);
        ask_value(&client, statement, PEEK_PATIENCE).await.ok()
    }

    async fn open(&self, mut door: Door) -> Result<Arc<Client>, SqlError> {
        door.application_name = "Patroni heartbeat";
        door.options = OPTIONS;
        tracing::info!("establishing a new patroni heartbeat connection to postgres");
        let client = door.open(Some(self.wake.clone())).await?;
        Ok(Arc::new(client))
    }
}

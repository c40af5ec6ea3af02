//! Asking another server for its timeline and history.

use std::time::Duration;

use pgherd_domain::{Lsn, TimelineHistory, TimelineId, Upstream, UpstreamSeen};
use pgherd_settings::Login;
use serde::Deserialize;

use crate::connect::{Door, SqlError, ask_value};
use crate::server::LocalServer;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Needs no right but to connect; the history file, which needs one, is asked for apart.
const STATEMENT: &str = r"
WITH server AS MATERIALIZED (SELECT pg_is_in_recovery() AS recovering)
SELECT json_build_object(
  'in_recovery', recovering,
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN recovering THEN COALESCE(
      (SELECT NULLIF(received_tli, 0) FROM pg_stat_get_wal_receiver()),
      GREATEST((SELECT timeline_id FROM pg_control_checkpoint()),
               (SELECT min_recovery_end_timeline FROM pg_control_recovery())))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END)
FROM server";

/// The name of the oldest WAL file without its timeline, and the size of one. Needs the right to look into pg_wal, which
/// pg_rewind needs too. The next files that PostgreSQL keeps ready have higher numbers.
const OLDEST: &str = r"
SELECT min(substr(name, 9)) || ' ' || pg_size_bytes(current_setting('wal_segment_size'))
FROM pg_ls_dir('pg_wal', true, false) AS name
WHERE name ~ '^[0-9A-F]{24}$'";

/// Where a WAL file begins, by the answer to [`OLDEST`]: the first half of the number counts what is above 32 bits, the
/// second one files below that.
fn beginning_of(answer: &str) -> Option<Lsn> {
    let (number, size) = answer.split_once(' ')?;
    let half = |range| u64::from_str_radix(number.get(range)?, 16).ok();
    let below = half(8..16)?.checked_mul(size.parse().ok()?)?;
    Some(Lsn::new(half(0..8)?.checked_shl(32)?.checked_add(below)?))
}

#[derive(Debug, Deserialize)]
struct Answer {
    in_recovery: bool,
    system_id: String,
    timeline: u32,
}

impl LocalServer {
    /// Asks with the rewind login, and when that fails with the superuser's.
    pub(crate) async fn ask_upstream(&self, upstream: &Upstream) -> Result<UpstreamSeen, String> {
        let logins = self.settings().changing.postgresql.authentication.clone();
        let first = self.ask_as(upstream, logins.for_rewind()).await;
        let mut answer = match first {
            Err(_) if logins.rewind.is_some() => self.ask_as(upstream, &logins.superuser).await,
            answer => answer,
        };
        if answer.is_err() && upstream.host.contains(',') {
            // None of them is a primary: whoever answers tells what all of them have.
            for (host, port) in upstream.ends() {
                let one = Upstream {
                    host: host.to_owned(),
                    port,
                    more_ports: Vec::new(),
                    ..upstream.clone()
                };
                answer = self.ask_as(&one, &logins.superuser).await;
                if answer.is_ok() {
                    break;
                }
            }
        }
        answer.map_err(|error| format!("{upstream}: {error}"))
    }

    /// A door to another server.
    pub(super) fn door_to(&self, upstream: &Upstream, login: &Login) -> Door {
        Door {
            host: upstream.host.clone(),
            port: upstream.port,
            more_ports: upstream.more_ports.clone(),
            login: login.clone(),
            database: self.place.fixed().database.clone(),
            application_name: "Patroni",
            options: "-c search_path=pg_catalog -c statement_timeout=3000",
        }
    }

    async fn ask_as(&self, upstream: &Upstream, login: &Login) -> Result<UpstreamSeen, SqlError> {
        let client = self.door_to(upstream, login).open(None).await?;
        let json = ask_value(&client, STATEMENT, PATIENCE).await?;
        let answer: Answer =
            serde_json::from_str(&json).map_err(|error| SqlError::Strange(error.to_string()))?;
        let history = if answer.timeline > 1 {
            let file = format!("pg_wal/{:08X}.history", answer.timeline);
            let statement = format!("SELECT convert_from(pg_read_binary_file('{file}'), 'UTF8')");
            TimelineHistory::parse(&ask_value(&client, &statement, PATIENCE).await?)
        } else {
            TimelineHistory::default()
        };
        let oldest = ask_value(&client, OLDEST, PATIENCE).await;
        let timeline = TimelineId(answer.timeline);
        let began = history.switches.last().map(|last| last.at);
        Ok(UpstreamSeen {
            in_recovery: answer.in_recovery,
            system_id: answer.system_id,
            same_wal: self.has_same_wal(&client, timeline, began).await,
            timeline,
            history,
            oldest: oldest.ok().as_deref().and_then(beginning_of),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wal_file_begins_where_its_number_says() {
        let megabytes = |count: u64| count << 20;
        let at = |name: &str, size: u64| beginning_of(&format!("{name} {size}"));
        let first = at("0000000000000001", megabytes(16));
        assert_eq!(first, Some(Lsn::new(megabytes(16))));
        let later = at("0000000A000000FF", megabytes(16));
        assert_eq!(later, Some(Lsn::new((0xA << 32) + megabytes(0xFF * 16))));
        let large = at("0000000100000003", megabytes(1024));
        assert_eq!(large, Some(Lsn::new((1 << 32) + megabytes(3 * 1024))));
        assert_eq!(beginning_of(""), None);
    }
}

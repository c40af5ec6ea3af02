//! `patroni_wale_restore`: makes a replica from a backup that WAL-E keeps, where that is less work than a copy of the
//! leader.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use pgherd_ctl::sql::{self, Target};
use tracing::{error, info, warn};

use crate::block_on;

/// Done.
const DONE: u8 = 0;
/// May go well another time.
const LATER: u8 = 1;
/// Will not go well.
const NEVER: u8 = 2;
/// From one attempt to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts to reach the leader.
const LEADER_TRIES: u32 = 3;

/// Makes a replica from a backup of WAL-E.
#[derive(Debug, Parser)]
#[command(name = "patroni_wale_restore")]
struct Line {
    /// The cluster.
    #[arg(long)]
    scope: String,
    /// The role that the member is to have.
    #[arg(long)]
    role: Option<String>,
    /// The data directory to make.
    #[arg(long)]
    datadir: String,
    /// How the leader is reached.
    #[arg(long)]
    connstring: String,
    /// How often a failed attempt is made again.
    #[arg(long, default_value_t = 1)]
    retries: u32,
    /// The folder of WAL-E's environment.
    #[arg(long)]
    envdir: String,
    /// With more WAL than this since the backup, in MB, the leader is copied instead.
    #[arg(long = "threshold_megabytes", default_value_t = 10_240)]
    threshold_megabytes: u64,
    /// The same as a percentage of the backup's size.
    #[arg(long = "threshold_backup_size_percentage", default_value_t = 30)]
    threshold_backup_size_percentage: u64,
    /// 1: AWS credentials come from the machine's profile.
    #[arg(long = "use_iam", default_value_t = 0)]
    use_iam: u8,
    /// 1: restore also when there is no leader to compare with.
    #[arg(long = "no_leader", default_value_t = 0)]
    no_leader: u8,
}

/// The definition of the command line, for manual pages.
pub fn command() -> clap::Command {
    Line::command()
}

/// Runs the program. Exit codes: 0 done, 1 try again, 2 do not; 2 for a wrong command line, too.
pub fn run(line: Vec<OsString>) -> ExitCode {
    let line = Line::parse_from(line);
    pgherd_log::start_program(None);
    block_on(NEVER, restore(&line))
}

async fn restore(line: &Line) -> u8 {
    let mut left = line.retries;
    loop {
        let code = attempt(line).await;
        if code != LATER || left == 0 {
            return code;
        }
        left -= 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(line: &Line) -> u8 {
    let backup = match latest(line) {
        Ok(Some(backup)) => backup,
        Ok(None) => {
            warn!("WAL-E keeps no backup of {}", line.scope);
            return NEVER;
        }
        Err(Trouble::Passing(why)) => {
            warn!("could not ask WAL-E for its latest backup: {why}");
            return LATER;
        }
        Err(Trouble::Lasting(why)) => {
            error!("could not ask WAL-E for its latest backup: {why}");
            return NEVER;
        }
    };
    match wal_since(line, &backup).await {
        Ok(bytes) if !is_little(bytes, &backup, line) => {
            info!(
                "{bytes} bytes of WAL since the backup are too many: the leader is copied instead"
            );
            NEVER
        }
        Ok(bytes) => {
            info!("{bytes} bytes of WAL since the backup: it is restored");
            fetch(line)
        }
        Err(why) if line.no_leader == 1 => {
            info!("the backup is restored, for the leader is not available: {why}");
            fetch(line)
        }
        Err(why) => {
            error!("the leader is not available: {why}");
            NEVER
        }
    }
}

/// Whether to replay so much costs less than to copy the leader.
fn is_little(bytes: u64, backup: &Backup, line: &Line) -> bool {
    let of_size = backup
        .bytes
        .saturating_mul(line.threshold_backup_size_percentage)
        / 100;
    bytes < line.threshold_megabytes.saturating_mul(1 << 20) && bytes < of_size
}

/// Why WAL-E did not answer.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// It ran and failed.
    Passing(String),
    /// It can not be run, or says what is not understood.
    Lasting(String),
}

/// A backup as WAL-E lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backup {
    bytes: u64,
    /// Where its WAL begins, as PostgreSQL writes it.
    start: String,
}

fn wal_e(line: &Line, words: &[&str]) -> Command {
    let mut command = Command::new("envdir");
    command.arg(&line.envdir).arg("wal-e");
    if line.use_iam == 1 {
        command.arg("--aws-instance-profile");
    }
    command.args(words);
    command
}

fn latest(line: &Line) -> Result<Option<Backup>, Trouble> {
    let listed = wal_e(line, &["backup-list", "--detail", "LATEST"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Trouble::Lasting(format!("run envdir: {error}")))?;
    if !listed.status.success() {
        return Err(Trouble::Passing(format!("it ended with {}", listed.status)));
    }
    let text = String::from_utf8_lossy(&listed.stdout);
    parse(&text).map_err(Trouble::Lasting)
}

/// The names and the values of a backup, each on a line, with tabs between them.
fn parse(text: &str) -> Result<Option<Backup>, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    let found: BTreeMap<&str, &str> = names.split('\t').zip(values.split('\t')).collect();
    let get = |name: &str| {
        let value = found.get(name).map(|value| value.trim());
        value.ok_or_else(|| format!("no column {name} in its list"))
    };
    let bytes = get("expanded_size_bytes")?;
    let segment = get("wal_segment_backup_start")?;
    let offset = get("wal_segment_offset_backup_start")?;
    let wrong =
        || format!("`{bytes}`, `{segment}` and `{offset}` are no size and place in the WAL");
    let part = |from: usize| {
        let digits = segment.get(from..from + 8).ok_or_else(wrong)?;
        u64::from_str_radix(digits, 16).map_err(|_| wrong())
    };
    let offset = u64::from_str_radix(offset, 16).map_err(|_| wrong())?;
    // timeline, then the high half, then the segment of 16 MB within it
    let low = (part(16)? << 24) + offset;
    Ok(Some(Backup {
        bytes: bytes.parse().map_err(|_| wrong())?,
        start: format!("{:X}/{low:X}", part(8)?),
    }))
}

/// Bytes of WAL that the leader has written since the backup.
async fn wal_since(line: &Line, backup: &Backup) -> Result<u64, String> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if line.connstring.is_empty() {
        return Err("no connection string".to_owned());
    }
    let target = Target::of_dsn(&line.connstring, &env)
        .ok_or_else(|| format!("`{}` is no connection string", line.connstring))?;
    let mut tried = 0;
    loop {
        match ask(&target, &env, &backup.start).await {
            Ok(bytes) => return Ok(bytes),
            Err(why) if tried + 1 >= LEADER_TRIES => return Err(why),
            Err(why) => warn!("{why}"),
        }
        tried += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(target: &Target, env: &BTreeMap<String, String>, start: &str) -> Result<u64, String> {
    let client = sql::connect(target, env).await?;
    let statement = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() \
         THEN pg_catalog.pg_wal_lsn_diff(COALESCE(pg_catalog.pg_last_wal_receive_lsn(), \
              pg_catalog.pg_last_wal_replay_lsn()), $1::text::pg_lsn)::bigint \
         ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), $1::text::pg_lsn)::bigint END";
    let row = client
        .query_one(statement, &[&start])
        .await
        .map_err(|error| sql::explained(&error))?;
    let bytes: i64 = row.try_get(0).map_err(|error| error.to_string())?;
    // a backup ahead of the leader is of another history; nothing is to be replayed then
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn fetch(line: &Line) -> u8 {
    let fetched = wal_e(line, &["backup-fetch", &line.datadir, "LATEST"]).status();
    match fetched {
        Ok(ended) if ended.success() => DONE,
        Ok(ended) => {
            error!("wal-e backup-fetch ended with {ended}");
            LATER
        }
        Err(error) => {
            error!("run envdir: {error}");
            NEVER
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "name\tlast_modified\texpanded_size_bytes\twal_segment_backup_start\t\
        wal_segment_offset_backup_start\twal_segment_backup_stop\twal_segment_offset_backup_stop\n\
        base_1\t2026-11-24T03:00:00.000Z\t1000000000\t00000002000000010000007F\t00000028\t\
        00000002000000010000007F\t00000130\n";

    fn line(more: &str) -> Line {
        let base = "patroni_wale_restore --scope s --datadir /d --connstring x --envdir /e";
        Line::try_parse_from(format!("{base}{more}").split(' ')).unwrap()
    }

    #[test]
    fn the_list_tells_size_and_beginning() {
        let found = parse(LIST).unwrap().unwrap();
        let wanted = Backup {
            bytes: 1_000_000_000,
            start: "1/7F000028".into(),
        };
        assert_eq!(found, wanted);
        assert_eq!(parse("name\n").unwrap(), None);
        assert!(
            parse("name\nbase_1\n")
                .unwrap_err()
                .contains("expanded_size_bytes")
        );
    }

    #[test]
    fn both_thresholds_count() {
        let backup = parse(LIST).unwrap().unwrap();
        assert!(is_little(299_999_999, &backup, &line("")));
        assert!(!is_little(300_000_001, &backup, &line("")));
        let tight = line(" --threshold_megabytes 1");
        assert!(!is_little(2 << 20, &backup, &tight));
        assert!(is_little(1, &backup, &tight));
    }

    #[tokio::test]
    async fn without_wal_e_it_never_goes_well() {
        // there is no folder /e, and hardly a program `envdir`
        let found = latest(&line(" --use_iam 1"));
        assert!(found.is_err(), "{found:?}");
    }
}

//! What a running server tells, over a connection of a superuser on the same machine.

use std::collections::BTreeMap;
use std::path::Path;

use pgherd_ctl::sql::{self, Target};
use pgherd_ctl::typed_secret;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::FIXME;

/// Settings that somebody made, without those that only say where a recovery ends.
const SETTINGS: &str = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
    WHERE (source IN ('configuration file', 'command line', 'environment variable') \
           OR name IN ('port', 'listen_addresses', 'hba_file', 'ident_file', 'config_file')) \
      AND category <> 'Write-Ahead Log / Recovery Target' AND context <> 'internal' \
      AND setting <> '(disabled)'";
const IS_SUPERUSER: &str = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
const DATA_DIRECTORY: &str = "SELECT pg_catalog.current_setting('data_directory')";

/// Why a running server could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// `--dsn` is no connection string.
    #[error(
        "`{0}` is no connection string; use `host=... port=... user=...` or a postgresql:// URI"
    )]
    Dsn(String),
    /// No connection.
    #[error("Failed to establish PostgreSQL connection: {0}")]
    NoConnection(String),
    /// A superuser is needed.
    #[error("The provided user does not have superuser privilege")]
    NoSuperuser,
    /// It did not answer what was asked.
    #[error("read the settings of the server: {0}")]
    NoAnswer(String),
}

/// What a running server tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Server {
    /// Settings that are not at their default.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) data_dir: String,
    /// The folder of its program, when that may be looked at.
    pub(crate) bin_dir: Option<String>,
    /// Lines of pg_hba.conf, when it lies in the data directory.
    pub(crate) hba: Vec<String>,
    /// Lines of pg_ident.conf, likewise.
    pub(crate) ident: Vec<String>,
    /// The login that was used.
    pub(crate) superuser: Value,
}

/// Connects and reads.
pub(crate) async fn read(
    dsn: Option<&str>,
    env: &BTreeMap<String, String>,
) -> Result<Server, RunningError> {
    let dsn = dsn.unwrap_or_default();
    let target = Target::of_dsn(dsn, env).ok_or_else(|| RunningError::Dsn(dsn.to_owned()))?;
    let (client, target) = connect(target, env).await?;
    let is_superuser = one(&client, IS_SUPERUSER).await?;
    if is_superuser != "t" {
        return Err(RunningError::NoSuperuser);
    }
    let settings = settings(&client).await?;
    let data_dir = one(&client, DATA_DIRECTORY).await?;
    let lines = |name: &str| -> Vec<String> {
        settings
            .get(name)
            .filter(|path| Path::new(path).parent() == Some(Path::new(&data_dir)))
            .and_then(|path| fs_err::read_to_string(path).ok())
            .map(|text| rules(&text))
            .unwrap_or_default()
    };
    let user = one(&client, "SELECT current_user").await?;
    let password = target
        .password
        .or_else(|| env.get("PGPASSWORD").cloned())
        .unwrap_or_else(|| FIXME.to_owned());
    Ok(Server {
        hba: lines("hba_file"),
        ident: lines("ident_file"),
        bin_dir: bin_dir(&data_dir),
        superuser: json!({"username": user, "password": password}),
        settings,
        data_dir,
    })
}

/// Asks for a password only when the server wants one.
async fn connect(
    mut target: Target,
    env: &BTreeMap<String, String>,
) -> Result<(Client, Target), RunningError> {
    match sql::connect(&target, env).await {
        Ok(client) => Ok((client, target)),
        Err(why) if why.contains("password") && target.password.is_none() => {
            let typed = typed_secret("Please enter the user password");
            target.password = Some(typed.map_err(|_| RunningError::NoConnection(why))?);
            let client = sql::connect(&target, env).await;
            Ok((client.map_err(RunningError::NoConnection)?, target))
        }
        Err(why) => Err(RunningError::NoConnection(why)),
    }
}

async fn settings(client: &Client) -> Result<BTreeMap<String, String>, RunningError> {
    let failed = |error: tokio_postgres::Error| RunningError::NoAnswer(sql::explained(&error));
    let rows = client.query(SETTINGS, &[]).await.map_err(failed)?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// The one value of a statement, as text.
async fn one(client: &Client, statement: &str) -> Result<String, RunningError> {
    let messages = client
        .simple_query(statement)
        .await
        .map_err(|error| RunningError::NoAnswer(sql::explained(&error)))?;
    messages
        .iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .ok_or_else(|| RunningError::NoAnswer(format!("`{statement}` gives nothing")))
}

/// Lines that say something.
fn rules(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The folder of the program that runs on `data_dir`, by its postmaster's pid file.
fn bin_dir(data_dir: &str) -> Option<String> {
    let file = fs_err::read_to_string(Path::new(data_dir).join("postmaster.pid")).ok()?;
    let pid: u32 = file.lines().next()?.trim().parse().ok()?;
    let program = fs_err::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(program.parent()?.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_rules() {
        assert_eq!(
            rules("# a\n\n  local all all peer \n"),
            ["local all all peer"]
        );
    }
}

//! Roles and scripts of a new cluster (contract §8.2, step 5).

use std::time::Duration;

use pgherd_domain::WorkError;
use pgherd_pgconf::{Conninfo, split_command, sql_identifier, sql_literal};
use pgherd_settings::{Login, Secret, Settings};
use tokio_postgres::Client;

use super::Doing as _;
use crate::connect::{Door, ask};
use crate::run::{command, output};
use crate::server::LocalServer;

/// How long one statement may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Passwords stay out of the log, and no standby is waited for.
pub(super) const SESSION: &str = "SET synchronous_commit = local; SET log_statement = none; \
                       SET log_min_duration_statement = -1; SET log_min_error_statement = panic; \
                       SET statement_timeout = 0";

/// What pg_rewind calls on the source, by a role that is no superuser.
const REWIND_FUNCTIONS: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

impl LocalServer {
    /// Gives the superuser its password, for a cluster that came with another or none.
    pub(super) async fn set_superuser(&self, settings: &Settings) -> Result<(), WorkError> {
        if let Login {
            username: Some(user),
            password: Some(password),
            ..
        } = &settings.changing.postgresql.authentication.superuser
        {
            let client = self.quiet_session().await?;
            set_role(&client, user, Some(password), "SUPERUSER").await?;
        }
        Ok(())
    }

    async fn quiet_session(&self) -> Result<Client, WorkError> {
        let opened = self.door().await.open(None).await;
        let client = opened.doing("connect to the new cluster")?;
        ask(&client, SESSION, PATIENCE)
            .await
            .doing("set the session up")?;
        Ok(client)
    }

    /// Makes the roles and runs the operator's script.
    pub(super) async fn after_bootstrap(&self, settings: &Settings) -> Result<(), WorkError> {
        self.set_superuser(settings).await?;
        let client = self.quiet_session().await?;
        let logins = &settings.changing.postgresql.authentication;
        if let Some(script) = &settings.fixed.bootstrap.post_bootstrap {
            self.run_script(script, &self.door().await).await?;
        }
        if let Some(user) = &logins.replication.username
            && logins.replication.username != logins.superuser.username
        {
            let password = logins.replication.password.as_ref();
            set_role(&client, user, password, "REPLICATION").await?;
        }
        if let Some(rewind) = &logins.rewind
            && let Some(user) = &rewind.username
            && rewind.username != logins.superuser.username
        {
            set_role(&client, user, rewind.password.as_ref(), "").await?;
            for function in REWIND_FUNCTIONS {
                let user = sql_identifier(user);
                let grant = format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {user}");
                ask(&client, &grant, PATIENCE)
                    .await
                    .doing("let the rewind role read files")?;
            }
        }
        for (name, user) in &settings.fixed.bootstrap.users {
            let options = user.options.join(" ").to_uppercase();
            set_role(&client, name, user.password.as_ref(), &options).await?;
        }
        self.make_citus(settings, &client).await
    }

    async fn run_script(&self, script: &str, door: &Door) -> Result<(), WorkError> {
        let what = "post_bootstrap";
        let words = split_command(script).doing(what)?;
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| WorkError::Failed(format!("{what}: no command")))?;
        self.write_passwords(std::iter::empty())
            .await
            .doing("write the password file for post_bootstrap")?;
        let mut conninfo = Conninfo::default()
            .with("host", &*door.host)
            .with("port", door.port.to_string());
        if let Some(user) = &door.login.username {
            conninfo = conninfo.with("user", user);
        }
        conninfo = conninfo.with("dbname", &*door.database);
        let mut run = command(program, self.place.owner());
        run.args(arguments)
            .arg(conninfo.to_string())
            .env("PGPASSFILE", self.place.passfile())
            .env(
                "PGOPTIONS",
                "-c synchronous_commit=local -c statement_timeout=0",
            );
        output(run).await.doing(what)?;
        Ok(())
    }
}

/// Makes the role, or makes it so.
async fn set_role(
    client: &Client,
    name: &str,
    password: Option<&Secret>,
    options: &str,
) -> Result<(), WorkError> {
    let what = format!("create role {name}");
    let known = format!(
        "SELECT 1 FROM pg_roles WHERE rolname = {}",
        sql_literal(name)
    );
    let verb = match ask(client, &known, PATIENCE).await.doing(&what)? {
        Some(_) => "ALTER",
        None => "CREATE",
    };
    let password = password.map_or(String::new(), |password| {
        format!(" PASSWORD {}", sql_literal(password.reveal()))
    });
    let statement = format!(
        "{verb} ROLE {} WITH LOGIN {options}{password}",
        sql_identifier(name)
    );
    ask(client, &statement, PATIENCE).await.doing(&what)?;
    Ok(())
}

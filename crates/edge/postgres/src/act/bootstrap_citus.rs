//! What a new cluster gets for Citus: the database, the extension, how its servers log in at each other, and on the coordinator
//! its own address (contract §20).

use std::time::Duration;

use pgherd_domain::{COORDINATOR_GROUP, WorkError};
use pgherd_pgconf::{Conninfo, sql_identifier, sql_literal};
use pgherd_settings::{Citus, HostPort, Login, Settings};
use tokio_postgres::Client;

use super::Doing as _;
use super::bootstrap_roles::SESSION;
use crate::connect::{Door, ask};
use crate::server::LocalServer;

/// How long one statement may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl LocalServer {
    /// Makes what Citus needs, where it is configured. What a backup has brought along stays.
    pub(super) async fn make_citus(
        &self,
        settings: &Settings,
        client: &Client,
    ) -> Result<(), WorkError> {
        let Some(Citus { group, database }) = &settings.fixed.citus else {
            return Ok(());
        };
        let known = format!(
            "SELECT 1 FROM pg_database WHERE datname = {}",
            sql_literal(database)
        );
        let known = ask(client, &known, PATIENCE).await;
        if known.doing("look for the database of Citus")?.is_none() {
            let create = format!("CREATE DATABASE {}", sql_identifier(database));
            let created = ask(client, &create, PATIENCE).await;
            created.doing("create the database of Citus")?;
        }
        let door = Door {
            database: database.clone(),
            ..self.door().await
        };
        let opened = door.open(None).await;
        let client = opened.doing("connect to the database of Citus")?;
        let pg = &settings.changing.postgresql;
        let mut statements = vec![
            SESSION.to_owned(),
            "CREATE EXTENSION IF NOT EXISTS citus".to_owned(),
        ];
        statements.extend(login_statement(&pg.authentication.superuser));
        if *group == COORDINATOR_GROUP {
            let HostPort { host, port } = &pg.connect_address;
            statements.push(format!(
                "SELECT pg_catalog.citus_set_coordinator_host({}, {port}, 'primary', 'default')",
                sql_literal(host)
            ));
        }
        for statement in &statements {
            ask(&client, statement, PATIENCE)
                .await
                .doing("set Citus up")?;
        }
        Ok(())
    }
}

/// How every node logs in at every other: as this superuser, with what Citus lets the catalogue hold.
fn login_statement(login: &Login) -> Option<String> {
    let mut conninfo = Conninfo::default();
    let mut knows = false;
    let password = login.password.as_ref().map(|password| password.reveal());
    for (name, value) in [
        ("password", password),
        ("sslcert", login.sslcert.as_deref().map(AsRef::as_ref)),
        ("sslkey", login.sslkey.as_deref().map(AsRef::as_ref)),
    ] {
        if let Some(value) = value {
            conninfo = conninfo.with(name, value);
            knows = true;
        }
    }
    knows.then(|| {
        format!(
            "DELETE FROM pg_catalog.pg_dist_authinfo WHERE nodeid = 0 AND rolename = pg_catalog.current_user(); \
             INSERT INTO pg_catalog.pg_dist_authinfo VALUES (0, pg_catalog.current_user(), {})",
            sql_literal(&conninfo.to_string())
        )
    })
}

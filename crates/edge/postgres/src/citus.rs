//! Citus' catalogue of nodes on the local server, through one session (contract §20).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{DistNode, NodeAddress, NodeChange, NodeRole};
use pgherd_pgconf::sql_literal;
use pgherd_ports::NodeCatalogue;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::LocalServer;
use crate::connect::{Door, ask};

/// The session is the agent's, and says so; nothing of the operator's settings shortens its statements.
const SESSION: &str =
    "SET statement_timeout = 0; SET lock_timeout = 0; SET search_path = pg_catalog";
/// Rows of other clusters, which the operator made for reading, are not ours.
const NODES: &str = "SELECT nodeid, groupid, noderole, nodename, nodeport FROM pg_catalog.pg_dist_node \
                     WHERE nodecluster = 'default' AND noderole IN ('primary', 'secondary') ORDER BY nodeid";
/// How long a statement that only asks or begins may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The catalogue of nodes of the local server.
#[derive(Debug)]
pub struct CitusCatalogue {
    server: Arc<LocalServer>,
    database: String,
    session: Mutex<Option<Client>>,
}

impl CitusCatalogue {
    /// The catalogue in `database` of `server`. Nothing is opened yet.
    pub fn new(server: Arc<LocalServer>, database: String) -> Self {
        Self {
            server,
            database,
            session: Mutex::default(),
        }
    }

    /// Runs `statements` in the session, and gives the rows. Without an answer the session ends.
    async fn run(
        &self,
        statements: &str,
        patience: Duration,
    ) -> Result<Vec<SimpleQueryMessage>, String> {
        let mut session = self.session.lock().await;
        let client = match session.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect().await?,
        };
        let answered = timeout(patience, client.simple_query(statements)).await;
        match answered {
            Ok(Ok(messages)) => {
                *session = Some(client);
                Ok(messages)
            }
            Ok(Err(error)) => Err(error
                .as_db_error()
                .map_or_else(|| error.to_string(), |db| db.message().to_owned())),
            Err(_) => {
                // Dropping the connection does not end what the server does for it.
                let cancel = client.cancel_token();
                drop(timeout(PATIENCE, cancel.cancel_query(tokio_postgres::NoTls)).await);
                Err(format!("no answer within {patience:?}"))
            }
        }
    }

    async fn connect(&self) -> Result<Client, String> {
        let door = Door {
            database: self.database.clone(),
            application_name: "Patroni citus",
            ..self.server.door().await
        };
        let opened = door.open(None).await;
        let client = opened.map_err(|error| error.to_string())?;
        let settled = ask(&client, SESSION, PATIENCE).await;
        settled.map_err(|error| error.to_string())?;
        Ok(client)
    }
}

#[async_trait]
impl NodeCatalogue for CitusCatalogue {
    async fn nodes(&self, patience: Duration) -> Result<Vec<DistNode>, String> {
        let messages = self.run(NODES, patience).await?;
        let mut nodes = Vec::new();
        for message in &messages {
            if let SimpleQueryMessage::Row(row) = message {
                let text = |at: usize| row.try_get(at).ok().flatten().unwrap_or_default();
                let node = node([text(0), text(1), text(2), text(3), text(4)]);
                nodes.push(node.ok_or("pg_dist_node holds what is no node")?);
            }
        }
        Ok(nodes)
    }

    async fn begin(&self, left_open: Duration) -> Result<(), String> {
        let millis = left_open.as_millis().max(1);
        let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {millis}");
        self.run(&begin, PATIENCE).await.map(drop)
    }

    async fn change(
        &self,
        change: &NodeChange,
        cooldown: Duration,
        patience: Duration,
    ) -> Result<(), String> {
        let call = statement(change, cooldown);
        self.run(&call, patience).await.map(drop)
    }

    async fn commit(&self, patience: Duration) -> Result<(), String> {
        self.run("COMMIT", patience).await.map(drop)
    }

    async fn close(&self) {
        drop(self.session.lock().await.take());
    }
}

/// A row of the catalogue: id, group, role, host, port.
fn node([id, group, role, host, port]: [&str; 5]) -> Option<DistNode> {
    Some(DistNode {
        id: id.parse().ok()?,
        group: group.parse().ok()?,
        role: match role {
            "primary" => NodeRole::Primary,
            "secondary" => NodeRole::Secondary,
            _ => return None,
        },
        address: NodeAddress {
            host: host.to_owned(),
            port: port.parse().ok()?,
        },
    })
}

/// The call of Citus that makes one change.
fn statement(change: &NodeChange, cooldown: Duration) -> String {
    match change {
        NodeChange::Add {
            group,
            role,
            address: NodeAddress { host, port },
        } => format!(
            "SELECT pg_catalog.citus_add_node({}, {port}, {group}, {}, 'default')",
            sql_literal(host),
            sql_literal(role.as_str())
        ),
        NodeChange::Update {
            id,
            address: NodeAddress { host, port },
        } => format!(
            "SELECT pg_catalog.citus_update_node({id}, {}, {port}, true, {})",
            sql_literal(host),
            cooldown.as_millis()
        ),
        NodeChange::Remove {
            address: NodeAddress { host, port },
        } => format!(
            "SELECT pg_catalog.citus_remove_node({}, {port})",
            sql_literal(host)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_one_call_of_citus() {
        let address = NodeAddress {
            host: "o'host".to_owned(),
            port: 5433,
        };
        let cooldown = Duration::from_millis(2500);
        for (change, call) in [
            (
                NodeChange::Add {
                    group: 2,
                    role: NodeRole::Secondary,
                    address: address.clone(),
                },
                "SELECT pg_catalog.citus_add_node('o''host', 5433, 2, 'secondary', 'default')",
            ),
            (
                NodeChange::Update {
                    id: 7,
                    address: address.clone(),
                },
                "SELECT pg_catalog.citus_update_node(7, 'o''host', 5433, true, 2500)",
            ),
            (
                NodeChange::Remove { address },
                "SELECT pg_catalog.citus_remove_node('o''host', 5433)",
            ),
        ] {
            assert_eq!(statement(&change, cooldown), call);
        }
    }

    #[test]
    fn a_row_is_a_node_or_nothing() {
        let row = ["3", "1", "secondary", "10.0.0.1", "5432"];
        let found = node(row).unwrap();
        assert_eq!(
            (found.id, found.group, found.role),
            (3, 1, NodeRole::Secondary)
        );
        assert_eq!(found.address.to_string(), "10.0.0.1:5432");
        assert_eq!(node(["3", "1", "unavailable", "h", "5432"]), None);
        assert_eq!(node(["3", "-1", "primary", "h", "5432"]), None);
    }
}

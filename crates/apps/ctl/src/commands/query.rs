//! `query`: SQL on a member.

use std::time::Duration;

use pgherd_api::table::{Cell, Column, Format, Table};
use pgherd_domain::ClusterView;
use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::dsn::{candidates, refuse_both};
use super::list::every;
use crate::args::{Query, Role};
use crate::failure::Failure;
use crate::members::Member;
use crate::screen::Screen;
use crate::session::Session;
use crate::sql::{self, Target};

/// Whether a server is in recovery is answered within this.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// `query`
pub(super) async fn query(
    args: &Query,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    refuse_both(args.role, args.member.as_deref())?;
    let statement = match (&args.command, &args.file) {
        (Some(_), Some(_)) => {
            return Err(Failure::refused(
                "--file and --command are mutually exclusive options",
            ));
        }
        (None, None) => {
            return Err(Failure::refused(
                "You need to specify either --command or --file",
            ));
        }
        (Some(command), None) => command.clone(),
        (None, Some(file)) if file == "-" => screen.rest()?,
        (None, Some(file)) => {
            fs_err::read_to_string(file).map_err(|error| Failure::Usage(error.to_string()))?
        }
    };
    let password = match args.password {
        true => Some(screen.ask_secret("Password")?),
        false => None,
    };
    let asked = Asked {
        args,
        statement,
        password,
    };
    let pause = every(&args.watch)?;
    loop {
        let looked = session.look(args.cluster.as_deref()).await?;
        let view =
            looked.in_which(|view| !candidates(view, args.role, args.member.as_deref()).is_empty());
        let rows = asked.rows(view, session, screen).await;
        let text = rows.print(args.format.into(), args.delimiter.as_deref());
        screen.print(&text)?;
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Ok(()),
        }
    }
}

struct Asked<'a> {
    args: &'a Query,
    statement: String,
    password: Option<String>,
}

/// What came of it.
enum Rows {
    Found(Table),
    /// One row: when, and what went wrong.
    Wrong(String, String),
}

impl Asked<'_> {
    async fn rows(&self, view: &ClusterView, session: &Session, screen: &Screen) -> Rows {
        let answered = match self.connect(view, session).await {
            Ok(Some(client)) => run(&client, &self.statement).await,
            Ok(None) => Err(self.nobody()),
            Err(why) => Err(format!("ERROR, SQLSTATE: connection failed: {why}")),
        };
        match answered {
            Ok(table) => Rows::Found(table),
            Err(why) => Rows::Wrong(screen.stamp("%Y-%m-%d %H:%M:%S"), why),
        }
    }

    fn nobody(&self) -> String {
        match (&self.args.member, self.args.role) {
            (Some(member), _) => format!("No connection to member {member} is available"),
            (None, Some(role)) => {
                format!("No connection to role '{}' is available", role.word())
            }
            (None, None) => "No connection is available".to_owned(),
        }
    }

    /// A connection to the first of the members meant that can be reached and is what it is meant to be.
    async fn connect(
        &self,
        view: &ClusterView,
        session: &Session,
    ) -> Result<Option<Client>, String> {
        let meant = candidates(view, self.args.role, self.args.member.as_deref());
        let mut refused = None;
        for member in &meant {
            let Some(target) = self.target(member, session) else {
                continue;
            };
            match sql::connect(&target, &session.env).await {
                Ok(client) if self.is_meant(&client).await => return Ok(Some(client)),
                Ok(_) => {}
                Err(why) => {
                    let (host, port) = (&target.host, target.port);
                    refused = Some(format!(
                        "connection to server at \"{host}\", port {port} failed: {why}"
                    ));
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// The database is found as libpq finds it, not taken from what the member publishes: that is the agents' own.
    fn target(&self, (_, doc): &Member, session: &Session) -> Option<Target> {
        let (host, port) = doc.address()?;
        let user = self.args.username.clone();
        let database = self.args.dbname.clone();
        Some(Target {
            host,
            port,
            database: database.unwrap_or_else(|| sql::database(user.as_deref(), &session.env)),
            user,
            password: self.password.clone(),
        })
    }

    /// The DCS may be behind: what leads must not be in recovery, and a replica must be.
    async fn is_meant(&self, client: &Client) -> bool {
        let role = match (self.args.role, &self.args.member) {
            (None, None) => Role::Leader,
            (Some(role), _) => role,
            (None, Some(_)) => Role::Any,
        };
        let wanted = match role {
            Role::Primary => false,
            Role::Replica | Role::Standby | Role::StandbyLeader => true,
            // the leader of a standby cluster is in recovery, too
            Role::Leader | Role::Any => return true,
        };
        let asking = client.simple_query("SELECT pg_catalog.pg_is_in_recovery()");
        match tokio::time::timeout(RECOVERY_MAX, asking).await {
            Ok(Ok(messages)) => messages.iter().any(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some(if wanted { "t" } else { "f" }),
                _ => false,
            }),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl Rows {
    fn print(&self, format: Format, delimiter: Option<&str>) -> String {
        match (self, format) {
            (Self::Found(table), Format::Tsv) => table.separated(delimiter.unwrap_or("\t")),
            (Self::Found(table), format) => table.print(format, None, false),
            (Self::Wrong(at, why), Format::Tsv | Format::Pretty) => {
                format!("{at}{}{why}\n", delimiter.unwrap_or("\t"))
            }
            (Self::Wrong(at, why), format) => {
                let columns = vec![Column::new("timestamp", false), Column::new("error", false)];
                let row = vec![Cell::Text(at.clone()), Cell::Text(why.clone())];
                Table {
                    columns,
                    rows: vec![row],
                }
                .print(format, None, false)
            }
        }
    }
}

/// Runs everything in `statement`; the rows are those of its first statement.
async fn run(client: &Client, statement: &str) -> Result<Table, String> {
    let types = types(client, statement).await;
    let messages =
        client
            .simple_query(statement)
            .await
            .map_err(|error| match error.as_db_error() {
                Some(db) => format!("ERROR, SQLSTATE: {}", db.code().code()),
                None => format!("ERROR, SQLSTATE: {}", sql::explained(&error)),
            })?;
    let mut table: Option<Table> = None;
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                let columns = columns.iter();
                table = Some(Table {
                    columns: columns
                        .map(|column| Column::of_text(column.name()))
                        .collect(),
                    rows: Vec::new(),
                });
            }
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| cell(row.get(at), types.get(at)));
                if let Some(table) = &mut table {
                    table.rows.push(cells.collect());
                }
            }
            _ => break,
        }
    }
    table.ok_or_else(|| "ERROR, SQLSTATE: the last operation didn't produce records".to_owned())
}

/// The types of the columns, when it is one statement; else nothing is known of them.
async fn types(client: &Client, statement: &str) -> Vec<Type> {
    match client.prepare(statement).await {
        Ok(prepared) => prepared
            .columns()
            .iter()
            .map(|column| column.type_().clone())
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// A value as patronictl shows it: Python's words for booleans and nothing.
fn cell(text: Option<&str>, kind: Option<&Type>) -> Cell {
    let value = match (text, kind) {
        (None, _) => Value::Null,
        (Some(text), Some(&Type::BOOL)) => Value::Bool(text == "t"),
        (Some(text), Some(&(Type::INT2 | Type::INT4 | Type::INT8 | Type::OID))) => text
            .parse::<i64>()
            .map_or_else(|_| text.into(), Value::from),
        // JSON has no number for NaN and Infinity
        (Some(text), Some(&(Type::FLOAT4 | Type::FLOAT8))) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::from(number),
            Ok(_) | Err(_) => text.into(),
        },
        (Some(text), _) => text.into(),
    };
    let shown = match &value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        _ => text.unwrap_or_default().to_owned(),
    };
    Cell::Value { shown, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_for_json_keeps_its_name() {
        for (text, kind, wanted) in [
            (Some("NaN"), Type::FLOAT8, "NaN"),
            (Some("-Infinity"), Type::FLOAT4, "-Infinity"),
            (Some("1.5"), Type::FLOAT8, "1.5"),
            (Some("f"), Type::BOOL, "False"),
            (None, Type::FLOAT8, "None"),
        ] {
            let Cell::Value { shown, .. } = cell(text, Some(&kind)) else {
                panic!("{text:?}");
            };
            assert_eq!(shown, wanted);
        }
    }
}

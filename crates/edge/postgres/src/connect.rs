//! SQL connections: to the local server and to others, always with a deadline.

use std::error::Error as _;
use std::time::Duration;

use pgherd_pgconf::PidFile;
use pgherd_ports::Wake;
use pgherd_settings::{Login, Settings};
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::client_config;

/// How long a connection may take (contract §2.2).
pub(crate) const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Why a server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SqlError {
    /// No connection.
    #[error("can not connect to {at}: {why}")]
    NoConnection {
        /// Host and port.
        at: String,
        /// What happened.
        why: String,
    },
    /// It starts up or shuts down, and says so (SQLSTATE 57P03).
    #[error("{0}")]
    NotYet(String),
    /// No answer in time.
    #[error("no answer from {at} within {patience:?}")]
    TimedOut {
        /// Host and port.
        at: String,
        /// How long was waited.
        patience: Duration,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The server answered with an error.
    #[error("{0}")]
    Refused(String),
    /// The answer is not what was asked for.
    #[error("unexpected answer: {0}")]
    Strange(String),
}

/// Whom to connect to, as whom, and how.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Host name, address, or socket directory; several hosts are separated by commas, of which a primary
    /// is wanted.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// The ports of further hosts, where they are not the same.
    pub(crate) more_ports: Vec<u16>,
    /// User, password, TLS.
    pub(crate) login: Login,
    /// Database.
    pub(crate) database: String,
    /// What the server shows us as.
    pub(crate) application_name: &'static str,
    /// Server settings of the session, such as `-c statement_timeout=2000`.
    pub(crate) options: &'static str,
}

impl Door {
    /// The local server as the superuser (contract §3.6): through its socket when so configured, else
    /// `localhost` where it listens there, else its first address.
    pub(crate) fn local(settings: &Settings, running: Option<&PidFile>) -> Self {
        let pg = &settings.changing.postgresql;
        let host = if pg.use_unix_socket {
            socket_folder(settings, running)
        } else {
            pg.listen.local_host().to_owned()
        };
        // A port that was changed counts from the next start on.
        let port = running.and_then(|file| file.port);
        Self {
            host,
            port: port.unwrap_or(pg.listen.port),
            more_ports: Vec::new(),
            login: pg.authentication.superuser.clone(),
            database: settings.fixed.place.database.clone(),
            application_name: "Patroni",
            options: "",
        }
    }

    /// Connects. `closed` is woken when the connection ends.
    pub(crate) async fn open(&self, closed: Option<Wake>) -> Result<Client, SqlError> {
        let at = format!("{}:{}", self.host, self.port);
        let failed = |why: String| SqlError::NoConnection {
            at: at.clone(),
            why,
        };
        let is_socket = self.host.starts_with('/');
        let tls = client_config(&self.login).map_err(|error| failed(error.to_string()))?;
        let wanted = match self.login.sslmode.as_deref().unwrap_or("prefer") {
            _ if is_socket || tls.is_none() => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        };
        let tls = match tls {
            Some(tls) => tls,
            None => client_config(&Login::default())
                .ok()
                .flatten()
                .ok_or_else(|| failed("TLS is not available".to_owned()))?,
        };
        let config = self.config(wanted);
        let connecting = config.connect(MakeRustlsConnect::new(tls));
        let connected = timeout(CONNECT_PATIENCE, connecting).await;
        let (client, connection) = connected
            .map_err(|_| SqlError::TimedOut {
                at: at.clone(),
                patience: CONNECT_PATIENCE,
            })?
            .map_err(|error| not_connected(&at, &error))?;
        tokio::spawn(async move {
            // How it ended is told to whoever uses the client.
            drop(connection.await);
            if let Some(wake) = closed {
                wake.wake();
            }
        });
        Ok(client)
    }

    fn config(&self, ssl: SslMode) -> Config {
        let mut config = Config::new();
        let more = self.more_ports.iter().copied();
        let ports = std::iter::once(self.port)
            .chain(more)
            .chain(std::iter::repeat(self.port));
        for (host, port) in self.host.split(',').zip(ports) {
            config.host(host.trim()).port(port);
        }
        config
            .dbname(&self.database)
            .application_name(self.application_name)
            .connect_timeout(CONNECT_PATIENCE)
            .ssl_mode(ssl);
        if self.host.contains(',') {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if !self.options.is_empty() {
            config.options(self.options);
        }
        if let Some(user) = &self.login.username {
            config.user(user);
        }
        if let Some(password) = &self.login.password {
            config.password(password.reveal());
        }
        config.channel_binding(match self.login.channel_binding.as_deref() {
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) | None => ChannelBinding::Prefer,
        });
        if self.login.sslnegotiation.as_deref() == Some("direct") && ssl == SslMode::Require {
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        config
    }
}

/// Asks one statement and gives the first value of its first row, as text.
pub(crate) async fn ask(
    client: &Client,
    statement: &str,
    patience: Duration,
) -> Result<Option<String>, SqlError> {
    let answered = timeout(patience, client.simple_query(statement)).await;
    let messages = answered
        .map_err(|_| SqlError::TimedOut {
            at: "PostgreSQL".to_owned(),
            patience,
        })?
        .map_err(|error| not_answered(&error))?;
    Ok(messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
        _ => None,
    }))
}

/// As [`ask`], for statements that always give a value.
pub(crate) async fn ask_value(
    client: &Client,
    statement: &str,
    patience: Duration,
) -> Result<String, SqlError> {
    let answer = ask(client, statement, patience).await?;
    answer.ok_or_else(|| SqlError::Strange("no value".to_owned()))
}

/// The directory of the local server's socket: configured, else where it is, else the usual one.
pub(crate) fn socket_folder(settings: &Settings, running: Option<&PidFile>) -> String {
    let parameters = &settings.changing.postgresql.parameters;
    let configured = parameters.get("unix_socket_directories").and_then(|list| {
        list.split(',')
            .map(str::trim)
            .find(|dir| dir.starts_with('/'))
    });
    let actual = || running.and_then(|file| file.socket_dir.as_deref());
    configured
        .or_else(actual)
        .unwrap_or("/var/run/postgresql")
        .to_owned()
}

fn not_connected(at: &str, error: &tokio_postgres::Error) -> SqlError {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::CANNOT_CONNECT_NOW => {
            SqlError::NotYet(db.message().to_owned())
        }
        Some(db) => SqlError::NoConnection {
            at: at.to_owned(),
            why: db.message().to_owned(),
        },
        None => SqlError::NoConnection {
            at: at.to_owned(),
            why: with_cause(error),
        },
    }
}

fn not_answered(error: &tokio_postgres::Error) -> SqlError {
    match error.as_db_error() {
        // The server says goodbye; the connection is over.
        Some(db) if db.severity() == "FATAL" => SqlError::Broken(db.message().to_owned()),
        Some(db) => SqlError::Refused(db.message().to_owned()),
        None => SqlError::Broken(with_cause(error)),
    }
}

fn with_cause(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

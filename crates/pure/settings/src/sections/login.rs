//! `postgresql.authentication`: who the agent is towards PostgreSQL (contract §2.4).

use camino::Utf8PathBuf;

use serde_json::{Map, Value};

use crate::reader::Reader;
use crate::{Secret, value};

/// The three users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authentication {
    /// Runs the agent's own queries.
    pub superuser: Login,
    /// Streams.
    pub replication: Login,
    /// Runs pg_rewind; the superuser when absent.
    pub rewind: Option<Login>,
}

impl Authentication {
    /// The user of pg_rewind.
    pub fn for_rewind(&self) -> &Login {
        self.rewind.as_ref().unwrap_or(&self.superuser)
    }
}

/// One user with everything of libpq's that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// Role name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// `sslmode`.
    pub sslmode: Option<String>,
    /// `sslcert`.
    pub sslcert: Option<Utf8PathBuf>,
    /// `sslkey`.
    pub sslkey: Option<Utf8PathBuf>,
    /// `sslpassword`, PostgreSQL 13 and later.
    pub sslpassword: Option<Secret>,
    /// `sslrootcert`.
    pub sslrootcert: Option<String>,
    /// `sslcrl`.
    pub sslcrl: Option<Utf8PathBuf>,
    /// `sslcrldir`, PostgreSQL 14 and later.
    pub sslcrldir: Option<Utf8PathBuf>,
    /// `gssencmode`, PostgreSQL 12 and later.
    pub gssencmode: Option<String>,
    /// `channel_binding`, PostgreSQL 13 and later.
    pub channel_binding: Option<String>,
    /// `sslnegotiation`, PostgreSQL 17 and later.
    pub sslnegotiation: Option<String>,
}

impl Authentication {
    /// Reads `postgresql.authentication`, or the old form without it.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let login = |name: &str, old_name: &str| {
            let section = format!("postgresql.authentication.{name}");
            let old = format!("postgresql.{old_name}");
            let given = match reader.has("postgresql.authentication") {
                true => reader.mapping(&section),
                false => reader.mapping(&old),
            };
            given.map(Login::read)
        };
        let superuser = login("superuser", "superuser");
        let replication = login("replication", "replication");
        let rewind = login("rewind", "pg_rewind");
        for (name, login) in [("superuser", &superuser), ("replication", &replication)] {
            if login.as_ref().is_none_or(|login| login.username.is_none()) {
                let path = format!("postgresql.authentication.{name}.username");
                reader.fault(&path, "is required; give the role's name");
            }
        }
        Self {
            superuser: superuser.unwrap_or_default(),
            replication: replication.unwrap_or_default(),
            rewind: rewind.filter(|login| login.username.is_some()),
        }
    }
}

impl Login {
    /// Reads one user; connection keys that are not the user's own are dropped.
    fn read(section: &Map<String, Value>) -> Self {
        let text = |name: &str| {
            section
                .get(name)
                .and_then(value::scalar)
                .filter(|text| !text.is_empty())
        };
        Self {
            username: text("username"),
            password: text("password").map(Secret::new),
            sslmode: text("sslmode"),
            sslcert: text("sslcert").map(Utf8PathBuf::from),
            sslkey: text("sslkey").map(Utf8PathBuf::from),
            sslpassword: text("sslpassword").map(Secret::new),
            sslrootcert: text("sslrootcert"),
            sslcrl: text("sslcrl").map(Utf8PathBuf::from),
            sslcrldir: text("sslcrldir").map(Utf8PathBuf::from),
            gssencmode: text("gssencmode"),
            channel_binding: text("channel_binding"),
            sslnegotiation: text("sslnegotiation"),
        }
    }
}

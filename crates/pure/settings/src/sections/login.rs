//! `postgresql.authentication`: who the agent is towards PostgreSQL (contract §2.4).

use camino::Utf8PathBuf;

use crate::Secret;

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

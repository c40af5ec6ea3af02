//! The password file that PostgreSQL and its tools read (contract §3.4).

use std::io;

use pgherd_pgconf::{Password, pgpass};
use pgherd_settings::Login;

use crate::server::LocalServer;

impl LocalServer {
    /// The password file for libpq: of every login towards `ends`, and towards ourselves.
    pub(crate) async fn write_passwords<'a>(
        &self,
        ends: impl Iterator<Item = (&'a str, u16)> + Send,
    ) -> io::Result<()> {
        let settings = self.settings();
        let logins = &settings.changing.postgresql.authentication;
        let mut all: Vec<&Login> = vec![&logins.replication, &logins.superuser];
        all.extend(&logins.rewind);
        // libpq looks each host of a list up by itself.
        let mut ends: Vec<(&str, u16)> = ends.collect();
        let local = self.door().await;
        ends.push((&local.host, local.port));
        let mut passwords = Vec::new();
        for (host, port) in ends {
            for login in &all {
                if let (Some(user), Some(password)) = (&login.username, &login.password) {
                    passwords.push(Password {
                        host,
                        port,
                        user,
                        password: password.reveal(),
                    });
                }
            }
        }
        let path = self.place.passfile();
        let files = self.place.files();
        if let Some(folder) = path.parent() {
            files.make_folder(folder)?;
        }
        files.write_with_mode(&path, &pgpass(&passwords), 0o600)?;
        Ok(())
    }
}

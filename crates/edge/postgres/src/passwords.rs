//! The password file that PostgreSQL and its tools read (contract §3.4).

use std::io;

use pgherd_pgconf::{Password, pgpass};
use pgherd_settings::Login;

use crate::server::LocalServer;

impl LocalServer {
    /// The password file for libpq: of every login towards `ends`, and towards ourselves.
    pub(crate) async fn write_passwords(&self, ends: &[(&str, u16)]) -> io::Result<()> {
        let settings = self.settings();
        let logins = &settings.changing.postgresql.authentication;
        let mut all: Vec<&Login> = vec![&logins.replication, &logins.superuser];
        all.extend(&logins.rewind);
        let local = self.door().await;
        let mut passwords = Vec::new();
        // libpq looks each host of a list up by itself.
        let ends = ends
            .iter()
            .flat_map(|(hosts, port)| hosts.split(',').map(|host| (host.trim(), *port)));
        for (host, port) in ends.chain([(local.host.as_str(), local.port)]) {
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

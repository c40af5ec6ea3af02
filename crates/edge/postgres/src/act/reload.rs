//! New settings in the files of the running server.

use std::sync::Arc;

use pgherd_domain::PgRole;
use pgherd_pgconf::RoleSection;
use pgherd_ports::AdjustError;
use pgherd_settings::Settings;
use rustix::process::Signal;

use super::not_written;
use crate::configuration::FilesFor;
use crate::server::LocalServer;

impl LocalServer {
    /// Takes settings and role in. When the server runs and its files change, it is reloaded. While a long
    /// work runs they only are remembered; the next call applies them.
    pub(crate) async fn take_settings(&self, settings: Arc<Settings>, role: PgRole) {
        let known = self.wanted().applied;
        let is_same = known.is_some_and(|(applied, of)| {
            of == role && (Arc::ptr_eq(&applied, &settings) || *applied == *settings)
        });
        if is_same {
            return;
        }
        self.want(|wanted| {
            wanted.settings = Arc::clone(&settings);
            wanted.role = role;
        });
        if self.is_working() || RoleSection::of(role).is_none() || self.running().await.is_none() {
            return;
        }
        match self.write_and_reload(false).await {
            Ok(reloaded) => {
                self.want(|wanted| wanted.applied = Some((settings, role)));
                if !reloaded {
                    tracing::debug!(
                        "No PostgreSQL configuration items changed, nothing to reload."
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "apply the settings to PostgreSQL"),
        }
    }

    /// Writes the files and reloads, changed or not.
    pub(crate) async fn reload_anyway(&self) -> Result<(), AdjustError> {
        self.write_and_reload(true).await.map(drop)
    }

    /// Writes the files, and reloads when they have changed or `anyway`. Whether it did.
    pub(super) async fn write_and_reload(&self, anyway: bool) -> Result<bool, AdjustError> {
        let Some(postmaster) = self.postmaster().await else {
            return Err(AdjustError::NotAnswering("it does not run".to_owned()));
        };
        let files_for = if self.place.is_standby() {
            FilesFor::SameFollower
        } else {
            FilesFor::Primary
        };
        let changed = self
            .write_configuration(&files_for)
            .await
            .map_err(|error| not_written(&error))?;
        if changed || anyway {
            tracing::info!("Reloading PostgreSQL configuration.");
            postmaster
                .signal(Signal::HUP)
                .map_err(|error| AdjustError::NotAnswering(error.to_string()))?;
            self.tell_reloaded().await;
        }
        Ok(changed || anyway)
    }
}

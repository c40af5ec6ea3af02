//! WAL of a server that does not run, brought into the archive: what nobody else would ever bring there.

use fs_err as fs;
use pgherd_domain::ControlState;
use pgherd_ports::Progress;

use super::crash_recovery::names_in;
use super::fetch_wal::expanded;
use crate::hung::PATIENCE;
use crate::run::{RunError, command, output};
use crate::server::LocalServer;

impl LocalServer {
    /// The end of the WAL of a primary that becomes the leader of a standby cluster (contract §5.8). PostgreSQL archives
    /// every commit when it stops, but not its shutdown checkpoint, which stands in the segment after them: who follows
    /// the archive alone would be promoted before that record, and this server could not follow it. From here on it
    /// is no primary on this timeline again, so the segment is archived once under its name. Where it can not be
    /// that is a warning: who streams has it.
    pub(super) async fn archive_end_of_primary(&self) {
        let follows = self.settings().changing.cluster.standby_cluster.is_some();
        if !follows || self.place.is_standby() {
            return;
        }
        let Ok(report) = self.control.read(&self.place).await else {
            return;
        };
        if report.data.state != ControlState::ShutDown {
            return;
        }
        self.archive_ready_segments(&Progress::default()).await;
        let Some(archiver) = self.archiver().await else {
            return;
        };
        for segment in report.checkpoint_segments() {
            match self.archive(&archiver, &segment).await {
                Ok(()) => {
                    tracing::info!("archived {segment}, where the WAL of this cluster ends");
                }
                Err(error) => {
                    tracing::warn!(
                        %error, segment,
                        "archive the last segment of this cluster; a cluster that follows the archive alone can not be followed back"
                    );
                    return;
                }
            }
        }
    }

    /// Archives segments that wait for it. Each that can not be is only a warning: pg_rewind may find it
    /// in pg_wal all the same.
    pub(super) async fn archive_ready_segments(&self, progress: &Progress) {
        let Some(archiver) = self.archiver().await else {
            return;
        };
        let folder = self.place.data_dir().join("pg_wal/archive_status");
        for ready in names_in(&folder) {
            let Some(segment) = ready.strip_suffix(".ready") else {
                continue;
            };
            progress.say(format!("archive_command runs for {segment}"));
            match self.archive(&archiver, segment).await {
                Ok(()) => {
                    let done = folder.join(format!("{segment}.done"));
                    if let Err(error) = fs::rename(folder.join(&ready), done) {
                        tracing::warn!(%error, segment, "mark the segment as archived");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, segment, "archive the segments that PostgreSQL left");
                    return;
                }
            }
        }
    }

    /// `archive_command`, where there is one and archiving is on.
    async fn archiver(&self) -> Option<String> {
        let mode = self.parameter("archive_mode").await.ok()?;
        let archiver = self.parameter("archive_command").await.ok()?;
        let works = matches!(mode.as_str(), "on" | "always") && !archiver.is_empty();
        works.then_some(archiver)
    }

    async fn archive(&self, archiver: &str, segment: &str) -> Result<(), RunError> {
        let mut shell = command("/bin/sh", self.place.owner());
        shell
            .args(["-c", &expanded(archiver, segment)])
            .current_dir(self.place.data_dir());
        let archiving = output(shell);
        tokio::pin!(archiving);
        tokio::select! {
            archived = &mut archiving => return archived.map(drop),
            () = tokio::time::sleep(PATIENCE) => tracing::warn!(
                segment,
                "archive_command has not ended after {PATIENCE:?}: this member comes back when it has. If it hangs, end \
                 its process and correct archive_command; `pgherd reinit` can make the member anew"
            ),
        }
        archiving.await.map(drop)
    }
}

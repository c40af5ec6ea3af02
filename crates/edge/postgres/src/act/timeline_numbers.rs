//! Numbers of timelines that no timeline bears: a history file of each stands in pg_wal, with a comment only.
//!
//! PostgreSQL takes the number after the history files that it finds one after another, so a server can be made to
//! leave numbers out. The files stay: a standby that is behind fetches the history file of every number up to its
//! primary's, and gives up at the first that the primary lacks.

use std::io;

use camino::Utf8PathBuf;
use fs_err as fs;
use pgherd_domain::{ControlData, TimelineId};

use crate::files;
use crate::server::LocalServer;

/// What a history file holds whose number no timeline bears. PostgreSQL passes over lines that begin so.
const PLACEHOLDER: &str = "# pgherd: no timeline bears this number\n";

impl LocalServer {
    /// Makes the promotion that follows pass over `count` numbers. The archive gets their files too: who restores from
    /// it looks for the newest timeline as PostgreSQL does here, one number after the other.
    pub(super) async fn skip_timelines(&self, count: u32) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let Ok(report) = self.control.read(&self.place).await else {
            return Err(io::Error::other("the control file can not be read"));
        };
        let newest = self.newest_borne(timeline_of(&report.data))?;
        for number in newest.saturating_add(1)..=newest.saturating_add(count) {
            self.put_placeholder(number)?;
            let ready = format!("pg_wal/archive_status/{number:08X}.history.ready");
            self.place
                .files()
                .write(&self.place.data_dir().join(ready), "")?;
        }
        Ok(())
    }

    /// The server is not promoted after all.
    pub(super) async fn take_reserved_numbers_back(&self) {
        let Ok(report) = self.control.read(&self.place).await else {
            return;
        };
        if let Err(error) = self.drop_last_placeholders(&report.data) {
            tracing::warn!(%error, "remove history files of numbers that no timeline bears");
        }
    }

    /// Removes placeholders that no timeline follows: a walreceiver that was stopped while it fetched history files has
    /// got those first. A standby would take the last one for the newest timeline, of which its own is no ancestor,
    /// and not start.
    pub(super) fn drop_last_placeholders(&self, control: &ControlData) -> io::Result<()> {
        let mine = timeline_of(control);
        let borne = self.newest_borne(mine)?;
        // From the end, so that whatever is left when this is interrupted is found the next time.
        for number in (borne.saturating_add(1)..=self.newest_from(mine)).rev() {
            for file in [
                self.history_file(number),
                self.archive_status(number, "ready"),
                self.archive_status(number, "done"),
            ] {
                files::remove(&file)?;
            }
        }
        Ok(())
    }

    /// The last of these numbers that a timeline bears. A promotion that was tried before left placeholders after it.
    fn newest_borne(&self, mine: u32) -> io::Result<u32> {
        let mut number = self.newest_from(mine);
        while number > mine && self.is_placeholder(number)? {
            number = number.saturating_sub(1);
        }
        Ok(number)
    }

    /// The last number after `mine` up to which every one has a history file.
    fn newest_from(&self, mine: u32) -> u32 {
        (mine..)
            .take_while(|number| *number == mine || self.history_file(*number).exists())
            .last()
            .unwrap_or(mine)
    }

    /// Unless the number has a history file.
    fn put_placeholder(&self, number: u32) -> io::Result<()> {
        let file = self.history_file(number);
        if file.exists() {
            return Ok(());
        }
        self.place.files().write(&file, PLACEHOLDER).map(drop)
    }

    fn is_placeholder(&self, number: u32) -> io::Result<bool> {
        let text = fs::read(self.history_file(number))?;
        Ok(text == PLACEHOLDER.as_bytes())
    }

    fn history_file(&self, number: u32) -> Utf8PathBuf {
        self.place
            .data_dir()
            .join(format!("pg_wal/{number:08X}.history"))
    }

    fn archive_status(&self, number: u32, status: &str) -> Utf8PathBuf {
        let name = format!("pg_wal/archive_status/{number:08X}.history.{status}");
        self.place.data_dir().join(name)
    }
}

/// The timeline from which PostgreSQL looks for newer ones.
fn timeline_of(control: &ControlData) -> u32 {
    let TimelineId(recovered_to) = control.min_recovery.1;
    control.timeline.0.max(recovered_to).max(1)
}

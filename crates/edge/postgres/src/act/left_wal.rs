//! WAL of a timeline that was given up. pg_rewind leaves files that it has read, the one with the fork at least. The next
//! primary's timeline can bear the same number: then PostgreSQL would replay what is here, which the primary never had,
//! and archive it under the primary's names one day.

use std::io;

use fs_err as fs;
use pgherd_domain::{ControlData, TimelineId};

use crate::files;
use crate::server::LocalServer;

impl LocalServer {
    /// Removes the WAL and the history files of timelines newer than the one that pg_rewind has brought this server to,
    /// which has not been started since. Nothing needs them: where they left that one, its own files go on.
    pub(super) fn remove_given_up_timelines(&self, control: &ControlData) -> io::Result<()> {
        let label = files::read(&self.place.data_dir().join("backup_label"))?;
        let is_rewound = label.is_some_and(|label| label.contains("BACKUP METHOD: pg_rewind"));
        let (end, TimelineId(theirs)) = control.min_recovery;
        if !is_rewound || end.is_zero() {
            return Ok(());
        }
        let wal = self.place.data_dir().join("pg_wal");
        for folder in [wal.join("archive_status"), wal] {
            for entry in fs::read_dir(folder.as_std_path())? {
                let entry = entry?;
                let name = entry.file_name();
                let timeline = name.to_str().and_then(timeline_of);
                if timeline.is_some_and(|timeline| timeline > theirs) {
                    let name = name.to_string_lossy();
                    tracing::info!("removed {name}: its timeline was given up");
                    files::remove(&folder.join(&*name))?;
                }
            }
        }
        Ok(())
    }
}

/// The timeline of a WAL file, a history file, or what the archiver notes of one.
fn timeline_of(name: &str) -> Option<u32> {
    let stem = name.split('.').next()?;
    let of_wal = matches!(stem.len(), 8 | 24) && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    of_wal.then(|| u32::from_str_radix(stem.get(..8)?, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_wal_tell_their_timeline() {
        for (name, timeline) in [
            ("000000020000000000000004", Some(2)),
            ("0000001A0000000000000004.partial", Some(26)),
            ("000000030000000000000004.00000028.backup", Some(3)),
            ("00000011.history", Some(17)),
            ("00000011.history.ready", Some(17)),
            ("000000020000000000000004.done", Some(2)),
            ("xlogtemp.4711", None),
            ("archive_status", None),
            ("summaries", None),
        ] {
            assert_eq!(timeline_of(name), timeline, "{name}");
        }
    }
}

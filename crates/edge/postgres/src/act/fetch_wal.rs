//! WAL that pg_rewind needs and pg_wal does not hold any more, fetched from the archive (contract §10). From 13 on
//! pg_rewind fetches it itself where it finds the configuration; this is for where it does not.

use std::collections::BTreeSet;

use pgherd_domain::Upstream;
use pgherd_ports::Progress;
use pgherd_settings::Settings;

use super::rewind::Traces;
use crate::run::{RunError, command, output};
use crate::server::LocalServer;

/// Segments that are fetched for one pg_rewind, at most: 16 GB of WAL.
const SEGMENTS_MAX: usize = 1024;

impl LocalServer {
    /// Runs pg_rewind, again for every segment that it misses and the archive has.
    pub(super) async fn rewind_fetching(
        &self,
        source: &Upstream,
        settings: &Settings,
        progress: &Progress,
        traces: &mut Traces,
    ) -> Result<(), RunError> {
        let mut fetched = BTreeSet::new();
        loop {
            let Err(error) = self.run_rewind(source, settings, progress, traces).await else {
                return Ok(());
            };
            let missing = missing_segment(&error.to_string()).filter(|_| !traces.copying);
            let Some(segment) = missing.filter(|_| fetched.len() < SEGMENTS_MAX) else {
                return Err(error);
            };
            progress.say(format!("fetching {segment} from the archive"));
            // Fetched before and still missed: the archive does not help.
            if !fetched.insert(segment.clone()) || !self.fetch(&segment).await {
                return Err(error);
            }
        }
    }

    /// Fetches one segment by `restore_command`. `false`: there is no such command, or it does not have it.
    async fn fetch(&self, segment: &str) -> bool {
        let restore = self.parameter("restore_command").await.unwrap_or_default();
        if restore.is_empty() {
            return false;
        }
        let line = expanded(&restore, segment);
        let mut shell = command("/bin/sh", self.place.owner());
        shell.args(["-c", &line]).current_dir(self.place.data_dir());
        if let Err(error) = output(shell).await {
            tracing::warn!(%error, segment, "fetch the segment from the archive for pg_rewind");
        }
        self.place.data_dir().join("pg_wal").join(segment).exists()
    }
}

/// `restore_command` or `archive_command` for one segment, its escapes read from left to right as PostgreSQL does.
pub(super) fn expanded(restore: &str, segment: &str) -> String {
    let mut line = String::new();
    let mut rest = restore.chars().peekable();
    while let Some(letter) = rest.next() {
        let escape = rest.peek().copied().filter(|_| letter == '%');
        match escape {
            Some('p') => line.push_str(&format!("pg_wal/{segment}")),
            // As the last segment that is needed: the archive is not told of any before it.
            Some('f' | 'r') => line.push_str(segment),
            Some('%') => line.push('%'),
            Some(_) | None => {
                line.push(letter);
                continue;
            }
        }
        rest.next();
    }
    line
}

/// The segment that pg_rewind could not open, out of what it said.
fn missing_segment(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("could not open file \"")?;
    let (path, _) = rest.split_once('"')?;
    let (folder, name) = path.rsplit_once('/')?;
    let is_segment = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_segment && folder.ends_with("pg_wal")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_from_left_to_right() {
        let line = expanded("cp /a/%f %p; date +%%p%x %", "SEG");
        assert_eq!(line, "cp /a/SEG pg_wal/SEG; date +%p%x %");
    }

    #[test]
    fn the_segment_that_is_missing_is_read_and_nothing_else_is_taken_for_one() {
        let said = "pg_rewind failed (exit status: 1): pg_rewind: error: could not open file \
             \"/data/pg_wal/000000010000000000000003\": No such file or directory";
        assert_eq!(
            missing_segment(said).as_deref(),
            Some("000000010000000000000003")
        );
        for other in [
            "could not open file \"/data/base/1/1259\": Permission denied",
            "could not open file \"/data/pg_wal/00000002.history\": No such file",
            "could not connect to server",
        ] {
            assert_eq!(missing_segment(other), None, "{other}");
        }
    }
}

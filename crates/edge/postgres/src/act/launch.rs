//! The launch of a postmaster: in a session of its own, watched until it takes connections.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use pgherd_domain::WorkError;
use pgherd_pgconf::ServerStatus;
use tokio::time::{Instant, sleep_until};

use super::Doing as _;
use crate::files::sibling;
use crate::pace::Pace;
use crate::process::{Launched, remove_stale_locks};
use crate::server::LocalServer;

/// What is said of a start that failed.
const TAIL_LINES: usize = 10;
/// Lines told of what went before it failed.
const LINES_BEFORE: usize = 4;
/// From where the tail is taken.
const TAIL_BYTES: u64 = 16 * 1024;
/// A log of starts that is longer than this is put aside before the next one.
const LOG_MAX: u64 = 4 << 20;
/// How long the log collector may take for the last lines of a server that is gone.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long one whose start was called off may take to be known by its pid file, or to end.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);
/// How long killed processes may take to go: one may hang on a disk.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Where a postmaster writes before its own log is open, or for good when it has none.
struct StartLog {
    folder: Utf8PathBuf,
    path: Utf8PathBuf,
    /// Where this start begins in it.
    from: u64,
    /// Since when other logs count.
    since: Option<SystemTime>,
}

impl LocalServer {
    /// Starts the postmaster with `options` and waits until it takes connections.
    pub(super) async fn launch(
        &self,
        options: &[String],
        timeout: Duration,
    ) -> Result<(), WorkError> {
        let deadline = Instant::now() + timeout;
        let result = self.launch_once(options, deadline).await;
        match result {
            // A process of a server that was killed came to light only now.
            Err(WorkError::Failed(text)) if text.contains("shared memory block") => {
                self.clear_orphans().await?;
                self.launch_once(options, deadline).await
            }
            result => result,
        }
    }

    /// Kills what is left of a server whose postmaster is gone: a new one could not start beside it. An
    /// operator's single-user server is left alone, and is an error.
    pub(super) async fn clear_orphans(&self) -> Result<(), WorkError> {
        if let Some(pid) = self.family().single_user() {
            return Err(WorkError::Failed(format!(
                "a single-user PostgreSQL (process {pid}) works on the data directory; wait for its end"
            )));
        }
        self.kill_leftovers().await
    }

    /// Kills what is left of a server whose postmaster is gone.
    pub(super) async fn kill_leftovers(&self) -> Result<(), WorkError> {
        let killed = self.family().kill(None, KILL_PATIENCE).await;
        killed.map_err(|left| {
            let left: Vec<String> = left.iter().map(ToString::to_string).collect();
            WorkError::Failed(format!(
                "processes {} of an earlier server do not end, not even killed",
                left.join(", ")
            ))
        })
    }

    async fn launch_once(&self, options: &[String], deadline: Instant) -> Result<(), WorkError> {
        remove_stale_locks(self.place.data_dir(), &self.socket_locks())
            .doing("remove the lock files of a server that is gone")?;
        let log = self.open_start_log().doing("open the log of the start")?;
        let output = log.open().doing("open the log of the start")?;
        let mut launch = self
            .place
            .launcher()
            .command(&self.place, output)
            .doing("start PostgreSQL")?;
        launch.args(["-D", self.place.data_dir().as_str()]);
        launch.args(options);
        if let Some(arenas) = std::env::var_os("PG_MALLOC_ARENA_MAX") {
            launch.env("MALLOC_ARENA_MAX", arenas);
        }
        // It ends when the postmaster does. Nobody has to wait for it: it goes on when this is dropped.
        let mut parent = launch.spawn().doing("start PostgreSQL")?;
        self.note_launched(parent.id().and_then(Launched::now));
        let launched = tokio::select! {
            ended = parent.wait() => {
                self.family().collected(LAST_LINES).await;
                Err(log.failure(&ended.map_or_else(
                    |error| error.to_string(),
                    |status| format!("it ended at once ({status})"),
                )))
            }
            () = self.ready() => Ok(()),
            () = sleep_until(deadline) => match self.running().await {
                Some(file) => Err(WorkError::Failed(format!(
                    "PostgreSQL (process {}) is still starting up and goes on: {}", file.pid, cause(&log.said())
                ))),
                None => Err(log.failure("it did not start in time")),
            },
        };
        if self.running().await.is_some() {
            self.note_launched(None);
        }
        launched
    }

    /// Waits until a postmaster whose start was called off is known by its pid file, or has ended. Before that nothing can
    /// stop it, and a copy would be put in its place under it.
    pub(super) async fn settle_launch(&self) -> Result<(), WorkError> {
        let deadline = Instant::now() + SETTLE_PATIENCE;
        let mut pace = Pace::millis(2, 50);
        while let Some(launched) = self.launching() {
            if self.running().await.is_some() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(WorkError::Failed(format!(
                    "a PostgreSQL whose start was called off (process {}) neither comes up nor ends",
                    launched.pid
                )));
            }
            pace.wait().await;
        }
        self.note_launched(None);
        Ok(())
    }

    /// Returns when the postmaster takes connections, or, as a standby that is not hot, replays.
    pub(super) async fn ready(&self) {
        let mut pace = Pace::millis(2, 50);
        while !self.is_ready().await {
            pace.wait().await;
        }
    }

    async fn is_ready(&self) -> bool {
        let Some(file) = self.running().await else {
            return false;
        };
        let held = self.watch.hold(&file, self.now());
        let ready = matches!(
            file.status,
            Some(ServerStatus::Ready | ServerStatus::Standby)
        );
        ready && held.is_some()
    }

    /// The lock files beside the sockets that this server may have had.
    fn socket_locks(&self) -> Vec<Utf8PathBuf> {
        let settings = self.settings();
        let pg = &settings.changing.postgresql;
        let folders = pg.parameters.get("unix_socket_directories");
        let folders = folders.map_or("/var/run/postgresql,/tmp", String::as_str);
        let name = format!(".s.PGSQL.{}.lock", pg.listen.port);
        folders
            .split(',')
            .map(|folder| Utf8Path::new(folder.trim()).join(&name))
            .filter(|lock| lock.is_absolute())
            .collect()
    }

    fn open_start_log(&self) -> std::io::Result<StartLog> {
        let settings = self.settings();
        let configured = settings.changing.postgresql.parameters.get("log_directory");
        let folder = self
            .place
            .data_dir()
            .join(configured.map_or("log", String::as_str));
        self.place.files().make_folder(&folder)?;
        let path = folder.join("pgherd-start.log");
        let length = fs::metadata(&path).map_or(0, |found| found.len());
        if length > LOG_MAX {
            fs::rename(&path, sibling(&path, ".1"))?;
        }
        // It must exist for its owner, whoever wrote it before.
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)?;
        self.place.files().give(&path)?;
        let found = file.metadata()?;
        Ok(StartLog {
            folder,
            from: found.len(),
            since: found.modified().ok(),
            path,
        })
    }
}

impl StartLog {
    fn open(&self) -> std::io::Result<std::fs::File> {
        let file = fs::OpenOptions::new().append(true).open(&self.path)?;
        Ok(file.into_parts().0)
    }

    fn failure(&self, why: &str) -> WorkError {
        let said = cause(&self.said());
        let why = if said.is_empty() { why } else { &said };
        let path = &self.path;
        WorkError::Failed(format!(
            "PostgreSQL could not be started: {why} (all of it is in {path})"
        ))
    }

    /// What the postmaster said at this start, here or in a log of its own.
    fn said(&self) -> String {
        let mut lines = read_from(&self.path, self.from);
        if lines.contains("logging collector")
            && let Some(newest) = self.newest_other()
        {
            lines.push_str(&read_from(&newest, 0));
        }
        lines
    }

    fn newest_other(&self) -> Option<Utf8PathBuf> {
        let entries = self.folder.read_dir_utf8().ok()?.flatten();
        let changed =
            |path: &Utf8PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
        entries
            .map(|entry| entry.path().to_owned())
            .filter(|path| *path != self.path && changed(path) >= self.since)
            .max_by_key(changed)
    }
}

/// What was fatal first, with the detail and the hint that belong to it, then what went right before it, where the
/// reason often stands; the last lines where nothing is marked so, as in another language.
fn cause(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let Some((at, fatal)) = lines
        .iter()
        .enumerate()
        .find_map(|(at, line)| Some((at, fatal(line)?)))
    else {
        return lines[lines.len().saturating_sub(TAIL_LINES)..].join("; ");
    };
    let belonging = lines[at + 1..]
        .iter()
        .map_while(|line| from_mark(line, &["DETAIL: ", "HINT: "]));
    let told: Vec<&str> = std::iter::once(fatal).chain(belonging).collect();
    let before = &lines[at.saturating_sub(LINES_BEFORE)..at];
    if before.is_empty() {
        told.join("; ")
    } else {
        format!("{}; before that: {}", told.join("; "), before.join("; "))
    }
}

/// What ended the server; what it says to a client that comes too early is no such thing.
fn fatal(line: &str) -> Option<&str> {
    from_mark(line, &["FATAL: ", "PANIC: "])
        .filter(|said| !said.contains("the database system is "))
}

/// The line from the first of `marks` on.
fn from_mark<'a>(line: &'a str, marks: &[&str]) -> Option<&'a str> {
    let at = marks.iter().find_map(|mark| line.find(mark))?;
    line.get(at..)
}

fn read_from(path: &Utf8PathBuf, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let from = from.min(length).max(length.saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn what_was_fatal_is_told_first() {
        let said = "[9] LOG:  database system was interrupted while in recovery\n\
            [9] HINT:  This probably means that some data is corrupted.\n\
            [8] FATAL:  the database system is starting up\n\
            [9] FATAL:  could not write to file \"pg_wal/xlogtemp.9\": No space left on device\n\
            [9] HINT:  Free some.\n\
            [7] LOG:  database system is shut down\n";
        let told = cause(said);
        let first = "FATAL:  could not write to file \"pg_wal/xlogtemp.9\": No space left on device; HINT:  Free some.; \
            before that: [9] LOG:  database system was interrupted";
        assert!(told.starts_with(first), "{told}");
        assert!(!told.contains("shut down"), "{told}");
    }

    #[test]
    fn the_last_lines_are_told_where_nothing_is_marked() {
        assert_eq!(
            cause("postgres: command not known\n\nSEGV\n"),
            "postgres: command not known; SEGV"
        );
        assert_eq!(cause(""), "");
    }
}

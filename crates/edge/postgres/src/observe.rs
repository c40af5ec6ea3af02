//! Looking at the server: never fails, changes nothing, ends in time whatever hangs.

use std::io;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use pgherd_domain::{
    DataDirectory, Entry, Fact, LiveSeen, Moment, PostgresSeen, TimelineHistory, TimelineId,
};
use pgherd_pgconf::{PidFile, ServerStatus, wanted_controlled};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::changes::tell_foreign;
use crate::connect::{Door, SqlError};
use crate::control::written;
use crate::hung;
use crate::place::Place;
use crate::process;
use crate::server::LocalServer;

/// How long the file system may take before the last look counts on: a hung disk must not hang the loop.
pub(crate) const DISK_PATIENCE: Duration = Duration::from_millis(1_000);
/// How long the server may take to answer (contract §2.2).
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_millis(2_000);

/// What is kept from one look to the next.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The data directory.
    data: Option<DataDirectory>,
    /// Process id and start of the postmaster that `live` is about.
    postmaster: Option<(i32, i64)>,
    /// What it said.
    live: Fact<LiveSeen>,
    /// The history of the timeline it is on.
    history: Option<(TimelineId, TimelineHistory)>,
    /// Whether clients get in.
    entry: Entry,
}

impl Seen {
    /// Before the first look.
    pub(crate) fn nothing(now: Moment) -> Self {
        Self {
            data: None,
            postmaster: None,
            live: not_asked(now),
            history: None,
            entry: Entry::default(),
        }
    }
}

fn not_asked(now: Moment) -> Fact<LiveSeen> {
    Fact::Unknown {
        why: "not asked yet".to_owned(),
        since: now,
        last: None,
    }
}

/// What the file system shows, gathered in one go.
#[derive(Debug)]
struct Disk {
    is_empty: io::Result<bool>,
    running: Option<PidFile>,
    standby_signal: bool,
    control_written: Option<SystemTime>,
}

impl Disk {
    fn look(place: &Place) -> Self {
        Self {
            is_empty: place.is_empty(),
            running: process::running(place.data_dir(), &place.names().postgres),
            standby_signal: place.is_standby(),
            control_written: written(place),
        }
    }
}

/// A look at the disk that did not come back in time. There is never more than one: threads that hang on a
/// disk are lost for everything else.
#[derive(Debug, Default)]
pub(crate) struct Look(tokio::sync::Mutex<Option<JoinHandle<Disk>>>);

impl Look {
    /// Looks, within [`DISK_PATIENCE`]. `None` when the disk does not answer.
    async fn at(&self, place: &Place) -> Option<Disk> {
        let looking = async {
            let mut pending = self.0.lock().await;
            if let Some(late) = pending.as_mut() {
                // What it says is old; that it says something is what was waited for.
                drop(late.await);
                *pending = None;
            }
            let place = place.clone();
            let look = pending.insert(spawn_blocking(move || Disk::look(&place)));
            let disk = look.await;
            *pending = None;
            disk.ok()
        };
        timeout(DISK_PATIENCE, looking).await.ok().flatten()
    }
}

/// Whether the server may be waiting for a command of the operator's: it comes up, stops, or is a replica that does not
/// stream.
fn may_wait(accepting: bool, live: &Fact<LiveSeen>) -> bool {
    let streams = |live: &LiveSeen| live.receiver.as_ref().is_some_and(|it| it.streaming);
    !accepting
        || live
            .known()
            .is_some_and(|live| live.in_recovery && !streams(live))
}

impl LocalServer {
    /// One look.
    pub(crate) async fn look(&self) -> PostgresSeen {
        let (data, running, standby_signal) = match self.look.at(&self.place).await {
            Some(disk) => {
                let data = self.data(&disk).await;
                (data, disk.running, disk.standby_signal)
            }
            None => self.last_look(),
        };
        let held = running
            .as_ref()
            .and_then(|file| self.watch.hold(file, self.now()));
        let (live, accepting) = match &running {
            Some(file) => self.live(file).await,
            None => (self.not_running(), false),
        };
        let hung = match &running {
            Some(file) if may_wait(accepting, &live) => {
                let pid = file.pid;
                let looking = spawn_blocking(move || hung::command(pid, hung::PATIENCE));
                looking.await.ok().flatten()
            }
            Some(_) | None => None,
        };
        let entry = self.entry().await;
        let entry = entry.unwrap_or_else(|| self.seen().entry.clone());
        self.seen().entry.clone_from(&entry);
        PostgresSeen {
            data,
            postmaster: running.map(|file| file.pid),
            accepting,
            standby_signal,
            live,
            up_since: held.map(|postmaster| postmaster.since),
            entry,
            hung,
        }
    }

    /// The last answer of this very postmaster, whatever its age.
    pub(crate) fn last_answer_of(&self, file: &PidFile) -> Option<LiveSeen> {
        let seen = self.seen();
        let same = seen.postmaster == Some((file.pid, file.started));
        seen.live.last().filter(|_| same).cloned()
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn data(&self, disk: &Disk) -> DataDirectory {
        let found = match &disk.is_empty {
            Err(error) => DataDirectory::Inaccessible {
                why: error.to_string(),
            },
            Ok(true) => DataDirectory::Empty,
            Ok(false) => {
                // Afresh whenever no server runs, and while one is stopped: two writes may bear the same time.
                let settled = disk.running.is_some() && !self.is_working();
                let written = disk.control_written.filter(|_| settled);
                let reading = self.control.read_if_changed(&self.place, written);
                match timeout(DISK_PATIENCE, reading).await {
                    Ok(Ok(report)) => DataDirectory::Cluster(report.data),
                    Ok(Err(error)) => DataDirectory::Invalid {
                        why: error.to_string(),
                    },
                    // The disk is slow: what was seen still is what is known.
                    Err(_) => return self.last_look().0,
                }
            }
        };
        self.seen().data = Some(found.clone());
        found
    }

    /// What a look gives while the disk does not answer: the last one, as far as the process still runs.
    fn last_look(&self) -> (DataDirectory, Option<PidFile>, bool) {
        let why = format!(
            "{} does not answer within {DISK_PATIENCE:?}",
            self.place.data_dir()
        );
        let seen = self.seen();
        let data = seen.data.clone();
        let is_standby = seen.live.last().is_some_and(|live| live.in_recovery);
        (
            data.unwrap_or(DataDirectory::Inaccessible { why }),
            self.held().map(|held| held.file.clone()),
            is_standby,
        )
    }

    fn not_running(&self) -> Fact<LiveSeen> {
        let mut seen = self.seen();
        seen.live = seen
            .live
            .clone()
            .failed("PostgreSQL does not run".to_owned(), self.now());
        seen.live.clone()
    }

    /// Asks the server; says too whether it takes connections.
    async fn live(&self, file: &PidFile) -> (Fact<LiveSeen>, bool) {
        let settings = self.settings();
        let door = Door::local(&settings, Some(file));
        let asked_at = self.now();
        let answer = self.heartbeat.ask(door, file.pid, ANSWER_PATIENCE).await;
        let answer = answer.and_then(|json| {
            crate::live::read(&json, &wanted_controlled(&settings))
                .map_err(|error| SqlError::Strange(error.to_string()))
        });
        let accepting = match (&answer, file.status) {
            (Ok(_), _) => true,
            (Err(SqlError::NotYet(_)), _) => false,
            (Err(_), Some(ServerStatus::Ready)) => true,
            (Err(_), Some(_) | None) => false,
        };
        let history = match &answer {
            Ok(live) if !live.in_recovery => self.history(live.timeline).await,
            Ok(_) | Err(_) => TimelineHistory::default(),
        };
        let mut seen = self.seen();
        let identity = Some((file.pid, file.started));
        if seen.postmaster != identity {
            seen.postmaster = identity;
            seen.live = not_asked(asked_at);
        }
        seen.live = match answer {
            Ok(mut live) => {
                self.logical.complete(&mut live.slots);
                let of_hba = live.pending_restart.get("hba_file");
                if of_hba.is_some_and(|(running, _)| self.is_own_hba_file(running)) {
                    // Nobody has changed it: this agent has started the server with another one.
                    live.pending_restart.remove("hba_file");
                }
                if let Some(before) = seen.live.last() {
                    tell_foreign(before, &live, &settings);
                }
                // A replica without a receiver reads its timeline from pg_control, which may lag behind
                // what it replayed. One postmaster never goes back to an older timeline.
                let before = seen
                    .live
                    .last()
                    .map_or(live.timeline, |before| before.timeline);
                let timeline = live.timeline.max(before);
                Fact::seen(
                    LiveSeen {
                        history,
                        timeline,
                        ..live
                    },
                    asked_at,
                )
            }
            Err(error) => seen.live.clone().failed(error.to_string(), asked_at),
        };
        (seen.live.clone(), accepting)
    }

    /// The switch points of a primary's own timeline. Its history file never changes, so it is read once.
    async fn history(&self, timeline: TimelineId) -> TimelineHistory {
        if timeline.0 <= 1 {
            return TimelineHistory::default();
        }
        if let Some((known, history)) = &self.seen().history
            && *known == timeline
        {
            return history.clone();
        }
        let file = format!("pg_wal/{:08X}.history", timeline.0);
        let path = self.place.data_dir().join(file);
        let reading = spawn_blocking(move || fs_err::read_to_string(path));
        match timeout(DISK_PATIENCE, reading).await {
            Ok(Ok(Ok(text))) => {
                let history = TimelineHistory::parse(&text);
                self.seen().history = Some((timeline, history.clone()));
                history
            }
            // Not there yet, or the disk hangs: asked again at the next look.
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => TimelineHistory::default(),
        }
    }
}

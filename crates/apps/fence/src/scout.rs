//! The scout: a thread that looks at the data directory and the deadline file's folder.
//!
//! Whatever may wait for a disk is done here, so that the deadline never waits for one. What was seen has its
//! age: when the scout hangs, the fence goes by what it last saw, and in doubt that is a primary.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_domain::Moment;

use crate::clock;
use crate::file::{AtPath, DeadlineFile};
use crate::record::Receipt;
use crate::server::{self, Postmaster};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(40);

/// What one look showed.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// When it was complete.
    pub(crate) at: Moment,
    /// The postmaster that runs; it may have exited since.
    pub(crate) server: Option<Arc<Postmaster>>,
    /// Since when what runs here is seen as a primary, or as one that may be; `None`: it surely is none.
    pub(crate) primary: Option<Moment>,
    /// The data directory without links; as it was given, until it exists.
    pub(crate) folder: PathBuf,
    /// What lies at the path of the deadline file.
    pub(crate) file: AtPath,
}

/// What the fence and its scout share.
#[derive(Debug)]
struct Shared {
    seen: Option<Seen>,
    file: Arc<DeadlineFile>,
    receipt: Option<Receipt>,
}

/// The fence's end of the scout.
#[derive(Debug, Clone)]
pub(crate) struct Scout(Arc<Mutex<Shared>>);

impl Scout {
    /// Begins to look, on a thread of its own.
    pub(crate) fn start(data_dir: &Path, file: Arc<DeadlineFile>) -> std::io::Result<Self> {
        let scout = Self(Arc::new(Mutex::new(Shared {
            seen: None,
            file,
            receipt: None,
        })));
        let (mine, data_dir) = (scout.clone(), data_dir.to_owned());
        std::thread::Builder::new()
            .name("scout".into())
            .spawn(move || {
                loop {
                    mine.look(&data_dir);
                    std::thread::sleep(PAUSE);
                }
            })?;
        Ok(scout)
    }

    /// What the last look showed; `None` before the first.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.with(|shared| shared.seen.clone())
    }

    /// Has `receipt` written to the deadline file.
    pub(crate) fn acknowledge(&self, receipt: Receipt) {
        self.with(|shared| shared.receipt = Some(receipt));
    }

    /// From now on the deadline file is this one.
    pub(crate) fn moved(&self, file: Arc<DeadlineFile>) {
        self.with(|shared| {
            shared.file = file;
            if let Some(seen) = &mut shared.seen {
                seen.file = AtPath::Same;
            }
        });
    }

    fn look(&self, data_dir: &Path) {
        let (before, file, receipt) = self.with(|shared| {
            let file = Arc::clone(&shared.file);
            (shared.seen.clone(), file, shared.receipt.take())
        });
        let (held, primary_before) =
            before.map_or((None, None), |seen| (seen.server, seen.primary));
        let last = held.as_ref().map(|server| server.pid);
        let held = held.filter(|server| !server.exits_within(Duration::ZERO));
        let server = held.or_else(|| Postmaster::find(data_dir).map(Arc::new));
        let is_primary = server::is_primary(data_dir, server.as_deref());
        // Another server is another primary. What a server leaves behind is as old as it was.
        let same = server
            .as_ref()
            .is_none_or(|server| Some(server.pid) == last);
        let folder = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let at_path = file.at_path();
        let at = clock::now();
        let primary = is_primary.then(|| primary_before.filter(|_| same).unwrap_or(at));
        self.with(|shared| {
            // Meanwhile the fence may have gone over to another file.
            let same = Arc::ptr_eq(&shared.file, &file);
            shared.seen = Some(Seen {
                at,
                server,
                primary,
                folder,
                file: if same { at_path } else { AtPath::Same },
            });
        });
        if let Some(receipt) = receipt {
            // One that is missing lets the agent replace this fence, which is then right.
            file.write_receipt(&receipt).ok();
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

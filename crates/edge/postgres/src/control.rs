//! Control data: what pg_controldata says, remembered while a server runs and pg_control stays the same.

use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use fs_err as fs;
use pgherd_pgconf::{ControlError, ControlReport};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::observe::DISK_PATIENCE;
use crate::place::Place;
use crate::run::{RunError, command, output};

/// The file is written in place, so a look in between may find it torn.
const ATTEMPTS: usize = 4;

/// Why the control data are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlReadError {
    /// pg_controldata failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It printed something else.
    #[error(transparent)]
    Parse(#[from] ControlError),
}

/// Reads control data.
#[derive(Debug, Default)]
pub(crate) struct Control {
    last: Mutex<Option<(SystemTime, ControlReport)>>,
}

impl Control {
    /// What the file says now; the last answer when it was given for a file that was written at `written`.
    pub(crate) async fn read_if_changed(
        &self,
        place: &Place,
        written: Option<SystemTime>,
    ) -> Result<ControlReport, ControlReadError> {
        if let Some((at, report)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && Some(*at) == written
        {
            return Ok(report.clone());
        }
        let report = self.read(place).await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = written.map(|at| (at, report.clone()));
        Ok(report)
    }

    /// What the file says now.
    pub(crate) async fn read(&self, place: &Place) -> Result<ControlReport, ControlReadError> {
        read_once_whole(place).await
    }
}

/// When the control file was last written.
pub(crate) fn written(place: &Place) -> Option<SystemTime> {
    let file = place.data_dir().join("global/pg_control");
    fs::metadata(file).and_then(|found| found.modified()).ok()
}

/// Where the state stands in the control file, the same in every version.
const STATE_AT: u64 = 16;
/// The states of a server that has shut down, as a primary or in recovery.
const SHUT_DOWN: [u32; 2] = [1, 2];

/// Whether the server on `place` has written its last record, whoever its postmaster still waits for.
pub(crate) async fn has_shut_down(place: &Place) -> bool {
    let file = place.data_dir().join("global/pg_control");
    let reading = spawn_blocking(move || {
        let mut state = [0; 4];
        let file = fs::File::open(file).ok()?;
        file.file().read_exact_at(&mut state, STATE_AT).ok()?;
        Some(u32::from_ne_bytes(state))
    });
    let state = timeout(DISK_PATIENCE, reading).await;
    matches!(state, Ok(Ok(Some(state))) if SHUT_DOWN.contains(&state))
}

async fn read_once_whole(place: &Place) -> Result<ControlReport, ControlReadError> {
    let mut attempt = 1;
    loop {
        let mut tool = command(&place.tool(&place.names().pg_controldata), place.owner());
        tool.arg(place.data_dir()).env("LC_ALL", "C");
        let printed = output(tool).await?;
        if !printed.contains("CRC checksum does not match") || attempt == ATTEMPTS {
            return Ok(ControlReport::parse(&printed)?);
        }
        attempt += 1;
    }
}

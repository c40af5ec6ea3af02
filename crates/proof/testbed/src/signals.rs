//! Ctrl-C and SIGTERM: remove the beds of this process, then end as the signal would have ended it.

use std::sync::{Mutex, Once, PoisonError, Weak};

use tokio::signal::unix::{SignalKind, signal};

use crate::bed::Bed;

/// Beds that live in this process. A signal has no other way to reach them.
static BEDS: Mutex<Vec<Weak<Bed>>> = Mutex::new(Vec::new());
static WATCHER: Once = Once::new();

/// Removes `bed` when this process is told to end.
pub(crate) fn clean_up_on_signal(bed: Weak<Bed>) {
    let mut beds = BEDS.lock().unwrap_or_else(PoisonError::into_inner);
    beds.retain(|old| old.strong_count() > 0);
    beds.push(bed);
    WATCHER.call_once(|| {
        std::thread::spawn(watch);
    });
}

/// Runs on a thread of its own: it must work while the test's runtime is blocked or gone.
fn watch() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    let code = runtime.block_on(async {
        let interrupt = signal(SignalKind::interrupt());
        let terminate = signal(SignalKind::terminate());
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return None;
        };
        tokio::select! {
            _ = interrupt.recv() => Some(130),
            _ = terminate.recv() => Some(143),
        }
    });
    if let Some(code) = code {
        let beds = std::mem::take(&mut *BEDS.lock().unwrap_or_else(PoisonError::into_inner));
        for bed in beds.iter().filter_map(Weak::upgrade) {
            bed.remove();
        }
        #[expect(
            clippy::exit,
            reason = "the signal asked this process to end; nothing else would"
        )]
        std::process::exit(code);
    }
}

//! The agent's own fence: a primary whose lease ends is stopped, also when the turns are slow or stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgherd_decide::fence_margin;
use pgherd_domain::{LeaseSeen, Moment, Standing};
use pgherd_ports::{Clock, LocalPostgres};
use tracing::error;

use crate::keeper::Board;

/// Watches the lease until it is dropped. In pause nothing is fenced.
pub(crate) async fn watch(
    board: Arc<Board>,
    paused: Arc<AtomicBool>,
    postgres: Arc<dyn LocalPostgres>,
    clock: Arc<dyn Clock>,
) {
    let mut lease = board.subscribe();
    loop {
        let seen = lease.borrow_and_update().clone();
        let deadline = deadline(&seen, &board, clock.now());
        tokio::select! {
            biased;
            changed = lease.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = until(deadline, &*clock) => {
                if !paused.load(Ordering::Relaxed) {
                    error!("the lease ends: a primary that still runs is stopped now");
                    postgres.fence().await;
                }
                // Nothing more to do before the lease changes.
                if lease.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn deadline(seen: &LeaseSeen, board: &Board, now: Moment) -> Option<Moment> {
    match seen.standing {
        Standing::Lost => Some(now),
        Standing::Held => seen
            .good_until
            .map(|until| until.minus(fence_margin(board.ttl()))),
        Standing::NotHeld => None,
    }
}

async fn until(deadline: Option<Moment>, clock: &dyn Clock) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

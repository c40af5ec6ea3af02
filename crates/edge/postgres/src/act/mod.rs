//! What can be done to the server: one file for each. The long works come first, in the order of a
//! member's life, then the small changes.

mod archive;
mod bootstrap;
mod bootstrap_citus;
mod bootstrap_roles;
mod checkpoint;
mod clone;
mod copy_slots;
mod crash_recovery;
mod entry;
mod fence;
mod fetch_wal;
mod follow;
mod history;
mod launch;
mod left_wal;
pub(crate) mod logical_slots;
mod promote;
mod reload;
mod restart;
mod rewind;
mod same_wal;
pub(crate) mod slot_parameters;
mod slots;
mod standby_names;
mod start;
mod stop;
mod stop_before;
mod timeline_numbers;

use std::fmt::Display;

use pgherd_domain::{Adjustment, Work, WorkError};
use pgherd_ports::{AdjustError, Progress};

use crate::connect::SqlError;
use crate::server::LocalServer;

impl LocalServer {
    /// Carries a long work out.
    pub(crate) async fn carry(&self, work: &Work, progress: &Progress) -> Result<(), WorkError> {
        // A checkpoint and a promotion leave files alone, so settings may go on taking effect meanwhile.
        let _working = match work {
            Work::Checkpoint | Work::PrePromote | Work::Promote { .. } => None,
            Work::Bootstrap
            | Work::Clone { .. }
            | Work::Restore
            | Work::Start { .. }
            | Work::Restart { .. }
            | Work::Stop { .. }
            | Work::CrashRecovery
            | Work::CopySlots { .. }
            | Work::StopBefore { .. }
            | Work::Rewind { .. } => {
                self.settle_launch().await?;
                Some(self.begin_work())
            }
        };
        match work {
            Work::Bootstrap => Box::pin(self.bootstrap(progress)).await,
            Work::Clone {
                source,
                basebackup_only,
            } => Box::pin(self.clone_from(source, *basebackup_only, progress)).await,
            Work::Restore => Box::pin(self.restore(progress)).await,
            Work::Start { start_as, timeout } => self.start(start_as, *timeout).await,
            Work::Restart { start_as, timeout } => self.restart(start_as, *timeout).await,
            Work::Stop { mode, escalate_at } => self.stop(*mode, *escalate_at).await,
            Work::PrePromote => self.pre_promote().await,
            Work::Promote {
                valid_until,
                skip_timelines,
            } => self.promote(*valid_until, *skip_timelines).await,
            Work::Checkpoint => self.checkpoint().await,
            Work::CrashRecovery => self.recover_from_crash(progress).await,
            Work::Rewind { source } => Box::pin(self.rewind(source, progress)).await,
            Work::CopySlots {
                source,
                slots,
                upstream,
                timeout,
            } => {
                let copying =
                    self.copy_slots((source, slots), upstream.as_ref(), *timeout, progress);
                Box::pin(copying).await
            }
            Work::StopBefore {
                time,
                upstream,
                timeout,
            } => {
                let moving =
                    self.stop_before(time.as_deref(), upstream.as_ref(), *timeout, progress);
                Box::pin(moving).await
            }
        }
    }

    /// Makes a small change.
    pub(crate) async fn change(&self, change: &Adjustment) -> Result<(), AdjustError> {
        match change {
            Adjustment::Follow { upstream } => self.follow(upstream.as_ref()).await,
            Adjustment::SetSynchronousStandbyNames(names) => {
                self.set_standby_names(names.as_deref()).await
            }
            Adjustment::CreateSlot(slot) => self.create_slot(slot).await,
            Adjustment::CreateLogicalSlot {
                slot,
                database,
                plugin,
                failover,
            } => {
                self.create_logical_slot(slot, (database, plugin), *failover)
                    .await
            }
            Adjustment::KeepLogicalSlots { advance, compare } => {
                self.keep_logical_slots(advance, compare.as_ref()).await;
                Ok(())
            }
            Adjustment::SetSlotParameters(parameters) => self.set_slot_parameters(parameters).await,
            Adjustment::DropSlot(slot) => self.drop_slot(slot).await,
            Adjustment::AdvanceSlot { slot, to } => self.advance_slot(slot, *to).await,
            Adjustment::ResumeReplay => self.resume_replay().await,
            Adjustment::ForgetOldDirectory => self.forget_old_directory().await,
            Adjustment::CloseEntry => self.close_entry().await,
            Adjustment::OpenEntry => self.open_entry().await,
            Adjustment::SeekUpstream => self.seek_upstream().await,
        }
    }
}

/// Adds what was being done to whatever went wrong.
trait Doing<T> {
    /// As a work's failure, which trying again may heal.
    fn doing(self, what: &str) -> Result<T, WorkError>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, WorkError> {
        self.map_err(|error| WorkError::Failed(format!("{what}: {error}")))
    }
}

impl From<SqlError> for AdjustError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Refused(_) => Self::Refused(error.to_string()),
            SqlError::NoConnection { .. }
            | SqlError::NotYet(_)
            | SqlError::TimedOut { .. }
            | SqlError::Broken(_)
            | SqlError::Strange(_) => Self::NotAnswering(error.to_string()),
        }
    }
}

fn not_written(error: &std::io::Error) -> AdjustError {
    AdjustError::Refused(format!("write the configuration: {error}"))
}

//! The long works: each takes its time, can be called off, and leaves behind what the real one would.

use std::time::Duration;

use pgherd_domain::{
    ControlState, MemberName, Moment, StartAs, StopMode, Upstream, Work, WorkError,
};
use pgherd_ports::{Clock, Progress};

use super::life::{self, Ending, failed, launch};
use super::replace::{begin_rewind, end_rewind, set_aside};
use super::server::{Cluster, Directory, Phase, Postmaster, Server};
use super::wal::Said;
use crate::clock::SimClock;
use crate::dice::Span;
use crate::invariants;
use crate::process::Process;

const INITDB: Span = Span::millis(800, 2000);
const COPY: Span = Span::millis(1000, 5000);
const REWIND: Span = Span::millis(500, 2500);
const SINGLE_USER: Span = Span::millis(500, 2000);
const CHECKPOINT: Span = Span::millis(20, 500);

/// How much longer the preparation of a start takes for each time that a disk is slower.
const PREPARED: Duration = Duration::from_millis(50);
/// How long standbys have to fetch the last record of a server that has shut down.
const FAREWELL: Duration = Duration::from_secs(6);
/// How long `carry_out` waits for a promotion to end.
const PROMOTION_TAKES_AT_MOST: Duration = Duration::from_secs(60);

/// One member's works.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) process: Process,
}

impl Worker {
    pub(super) async fn carry_out(
        &self,
        work: &Work,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        if writes_data(work) {
            self.server(|it| it.disk.has_space())?;
        }
        match work {
            Work::Bootstrap => self.bootstrap().await,
            Work::Clone { source, .. } => self.copy(source, progress).await,
            Work::Start { start_as, timeout } => self.start(start_as, *timeout).await,
            Work::Restart { start_as, timeout } => {
                self.stop(StopMode::Fast, None).await;
                self.start(start_as, *timeout).await
            }
            Work::Stop { mode, escalate_at } => {
                self.stop(*mode, *escalate_at).await;
                Ok(())
            }
            Work::Restore => Err(failed("there is no archive to restore from")),
            Work::PrePromote => Ok(()),
            Work::Promote {
                valid_until,
                skip_timelines,
            } => self.promote(*valid_until, *skip_timelines).await,
            Work::Checkpoint => self.checkpoint().await,
            Work::CrashRecovery => self.crash_recovery().await,
            Work::Rewind { source } => self.rewind(source).await,
            // Logical slots are not simulated; what they cost is the restart.
            Work::CopySlots {
                upstream, timeout, ..
            }
            | Work::StopBefore {
                upstream, timeout, ..
            } => {
                let upstream = upstream.clone();
                self.stop(StopMode::Fast, None).await;
                self.start(&StartAs::Replica { upstream }, *timeout).await
            }
        }
    }

    fn server<T>(&self, see: impl FnOnce(&Server) -> T) -> T {
        self.process
            .world
            .look(|state| see(&state.host(&self.process.me).server))
    }

    fn tell(&self, what: impl Into<String>) {
        self.process
            .world
            .change(|state| state.tell(self.process.me.as_str(), what));
    }

    /// Lets a child process run for a while.
    async fn takes(&self, span: Span) {
        let takes = self
            .process
            .world
            .quietly(|state| state.host_mut(&self.process.me).takes(span));
        self.process.world.sleep(takes).await;
        self.process.gate().await;
    }

    async fn bootstrap(&self) -> Result<(), WorkError> {
        self.takes(INITDB).await;
        self.process.world.change(|state| {
            let host = state.host_mut(&self.process.me);
            if !matches!(host.server.directory, Directory::Empty) {
                return Err(failed("the data directory is not empty"));
            }
            let system_id = (7_000_000_000_000_000_000 + host.dice.below(1 << 50)).to_string();
            host.server.directory = Directory::Cluster(Box::new(Cluster::new(system_id)));
            state.tell(self.process.me.as_str(), "postgres: a new cluster was made");
            Ok(())
        })?;
        self.start(
            &StartAs::Primary { valid_until: None },
            Duration::from_secs(60),
        )
        .await
    }

    /// pg_basebackup: what the source has when the copy ends.
    async fn copy(&self, source: &Upstream, progress: &Progress) -> Result<(), WorkError> {
        let from = self.reach(source).await?;
        if self.server(|it| it.postmaster.is_some()) {
            return Err(failed("a postmaster runs on the data directory"));
        }
        progress.say("copying");
        let copied = tokio::select! {
            biased;
            () = self.takes(COPY) => Ok(()),
            why = self.broken(&from) => Err(why),
        };
        copied?;
        self.process.world.change(|state| {
            let server = &state.host(&from).server;
            let Some(theirs) = server.cluster().filter(|_| server.is_open()) else {
                return Err(failed("the source ended before the copy"));
            };
            let mut mine = theirs.clone();
            mine.slots.clear();
            mine.upstream = None;
            mine.standby_signal = true;
            mine.proven = false;
            set_aside(state, &self.process.me)?;
            state.host_mut(&self.process.me).server.directory = Directory::Cluster(Box::new(mine));
            state.tell(
                self.process.me.as_str(),
                format!("postgres: copied from {from}"),
            );
            Ok(())
        })
    }

    /// Connects to a server that accepts connections.
    async fn reach(&self, source: &Upstream) -> Result<MemberName, WorkError> {
        let from = MemberName::new(&source.host)
            .ok()
            .filter(|name| {
                self.process
                    .world
                    .look(|state| state.hosts.contains_key(name))
            })
            .ok_or_else(|| failed("the host name is not known"))?;
        if !self
            .process
            .world
            .carry_between(&self.process.me, &from)
            .await
            || !self
                .process
                .world
                .carry_between(&from, &self.process.me)
                .await
        {
            return Err(failed("connection timed out"));
        }
        if self
            .process
            .world
            .look(|state| state.host(&from).server.is_open())
        {
            Ok(from)
        } else {
            Err(failed("the server does not accept connections"))
        }
    }

    /// Returns when the connection to a server breaks.
    async fn broken(&self, from: &MemberName) -> WorkError {
        self.process
            .world
            .until(|state| (!state.host(from).server.is_open()).then_some(()))
            .await;
        failed("the source closed the connection")
    }

    async fn start(&self, start_as: &StartAs, timeout: Duration) -> Result<(), WorkError> {
        let slowness = self.server(|it| it.disk.slowness);
        if slowness > 1 {
            // Before there is a process the files are written and PostgreSQL checks them.
            self.process.world.sleep(PREPARED * (slowness - 1)).await;
            self.process.gate().await;
        }
        if let StartAs::Primary {
            valid_until: Some(valid_until),
        } = start_as
            && SimClock::new(self.process.clone()).now() >= *valid_until
        {
            return Err(WorkError::LeaseEnded);
        }
        self.process.world.change(|state| {
            if matches!(start_as, StartAs::Primary { .. }) {
                invariants::at_start_as_primary(state, &self.process.me);
            }
            let server = &mut state.host_mut(&self.process.me).server;
            server.generation += 1;
            server.started_with.clone_from(&server.configured);
            if let Some(cluster) = server.cluster_mut() {
                match start_as {
                    StartAs::Primary { .. } => {
                        cluster.standby_signal = false;
                        cluster.upstream = None;
                    }
                    StartAs::Replica { upstream } => {
                        cluster.standby_signal = true;
                        cluster.upstream.clone_from(upstream);
                    }
                }
            }
        });
        let pid = launch(&self.process.world, &self.process.me)?;
        let up = self.process.world.until(|state| {
            let server = &state.host(&self.process.me).server;
            if !server.runs(pid) {
                return Some(Err(failed("the postmaster ended while it started")));
            }
            server.is_open().then_some(Ok(()))
        });
        let up = tokio::time::timeout(timeout, up).await;
        self.process.gate().await;
        up.map_err(|_| failed("it did not accept connections in time"))?
    }

    /// As the real one: a postmaster that has shut down waits for standbys, but not for ever.
    async fn waits_in_vain(&self, pid: i32) {
        self.process
            .world
            .until(|state| {
                let server = &state.host(&self.process.me).server;
                let shut = server.cluster().is_some_and(|cluster| {
                    matches!(
                        cluster.state,
                        ControlState::ShutDown | ControlState::ShutDownInRecovery
                    )
                });
                (shut && server.runs(pid)).then_some(())
            })
            .await;
        self.process.world.sleep(FAREWELL).await;
    }

    async fn stop(&self, mode: StopMode, escalate_at: Option<Moment>) {
        let Some(pid) = self.server(|it| it.postmaster.as_ref().map(|it| it.pid)) else {
            return;
        };
        if mode == StopMode::Fast {
            life::stop_fast(&self.process.world, &self.process.me);
            let ended = self
                .process
                .world
                .until(|state| (!state.host(&self.process.me).server.runs(pid)).then_some(()));
            let clock = SimClock::new(self.process.clone());
            let too_long = async {
                match escalate_at {
                    Some(moment) => clock.sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = ended => {
                    self.process.gate().await;
                    return;
                }
                () = too_long => {}
                () = self.waits_in_vain(pid) => {}
            }
        }
        life::stop_immediately(&self.process.world, &self.process.me, Ending::Immediate).await;
        self.process.gate().await;
    }

    async fn promote(&self, valid_until: Moment, skip: u32) -> Result<(), WorkError> {
        let clock = SimClock::new(self.process.clone());
        if clock.now() >= valid_until {
            return Err(WorkError::LeaseEnded);
        }
        let pid = life::promote(&self.process.world, &self.process.me, skip)?;
        let done = self.process.world.until(|state| {
            let server = &state.host(&self.process.me).server;
            if !server.runs(pid) {
                return Some(Err(failed("the postmaster ended")));
            }
            (server.takes_writes()).then_some(Ok(()))
        });
        let done = tokio::time::timeout(PROMOTION_TAKES_AT_MOST, done).await;
        self.process.gate().await;
        done.map_err(|_| failed("recovery did not end in time"))?
    }

    async fn checkpoint(&self) -> Result<(), WorkError> {
        self.takes(CHECKPOINT).await;
        self.process.world.change(|state| {
            let server = &mut state.host_mut(&self.process.me).server;
            if !server.is_open() {
                return Err(failed("PostgreSQL does not answer"));
            }
            let primary = server.runs_as_primary();
            if let Some(cluster) = server.cluster_mut() {
                if primary {
                    cluster.write(Said::Checkpoint, None);
                } else {
                    cluster.note_checkpoint();
                }
            }
            Ok(())
        })
    }

    /// `postgres --single`: recovers and stops in good order.
    async fn crash_recovery(&self) -> Result<(), WorkError> {
        self.takes(SINGLE_USER).await;
        self.process.world.change(|state| {
            let server = &mut state.host_mut(&self.process.me).server;
            if server.postmaster.is_some() {
                return Err(failed("a postmaster runs"));
            }
            let Some(cluster) = server.cluster_mut() else {
                return Err(failed("there is no data directory"));
            };
            cluster.standby_signal = false;
            cluster.write(Said::Shutdown, None);
            cluster.state = ControlState::ShutDown;
            state.tell(
                self.process.me.as_str(),
                "postgres: recovered in single-user mode",
            );
            Ok(())
        })
    }

    async fn rewind(&self, source: &Upstream) -> Result<(), WorkError> {
        let from = self.reach(source).await?;
        let needed = self
            .process
            .world
            .change(|state| begin_rewind(state, &self.process.me, &from))?;
        if !needed {
            self.tell("postgres: pg_rewind found nothing to do");
            return Ok(());
        }
        let rewound = tokio::select! {
            biased;
            () = self.takes(REWIND) => Ok(()),
            why = self.broken(&from) => Err(why),
        };
        rewound?;
        self.process
            .world
            .change(|state| end_rewind(state, &self.process.me, &from))
    }
}

/// Whether a work fails on a full disk by itself; a start and a stop see to it where the server does.
const fn writes_data(work: &Work) -> bool {
    matches!(
        work,
        Work::Bootstrap
            | Work::Clone { .. }
            | Work::Checkpoint
            | Work::CrashRecovery
            | Work::Rewind { .. }
    )
}

/// Whether it is still starting up.
pub(super) fn is_starting(server: &Server) -> bool {
    server
        .postmaster
        .as_ref()
        .is_some_and(|postmaster| matches!(postmaster.phase, Phase::Starting(_)))
}

/// Whether connections get through to it.
pub(super) const fn accepts(postmaster: &Postmaster) -> bool {
    matches!(postmaster.phase, Phase::Open | Phase::Promoting(_))
}

//! Carrying a decision out: one arm per action, nothing left to choose.
//!
//! After the first write whose outcome is unknown the store is left alone for the rest of the turn: more
//! writes would only make the turn longer, and the next turn reads first.

use pgherd_domain::documents::StatusDoc;
use pgherd_domain::{
    Action, Adjustment, Effect, Lsn, MemberName, Outcome, Promise, StartAs, Upstream, Work,
    WorkKind,
};
use pgherd_ports::{Acquisition, Condition, DcsError, HandOver, Key, Written};
use tracing::{error, info, warn};

use crate::{Agent, Fatal, promises};

/// Whether the loop goes on.
#[derive(Debug)]
pub(crate) enum Then {
    GoOn,
    Exit(Result<(), Fatal>),
}

impl Agent {
    /// Carries out what the guard let pass.
    pub(crate) async fn act(&mut self, actions: Vec<Action>) -> Then {
        let mut store_is_silent = false;
        for action in actions {
            match action {
                Action::Begin(work) => self.begin(work).await,
                Action::CancelWork => self.worker.cancel().await,
                // The situation of this turn has told the task that does it.
                Action::ArmWatchdog => {}
                Action::Answer { to, answer } => {
                    if let Some(reply) = self.replies.remove(&to) {
                        // Whoever asked may have gone; the work is done all the same.
                        reply.send(answer).ok();
                    }
                }
                Action::Ask(question) => {
                    let Self {
                        inquiries, ports, ..
                    } = self;
                    inquiries.ask(question, &ports.clock, &ports.peers, &ports.postgres);
                }
                Action::Exit { because } => {
                    let result = because.map_or(Ok(()), |because| Err(Fatal::Decided(because)));
                    return Then::Exit(result);
                }
                Action::Adjust(change) => {
                    let outcome = self.adjust(&change).await;
                    self.effects.push(Effect {
                        action: Action::Adjust(change),
                        outcome,
                    });
                }
                stored if store_is_silent => {
                    let outcome = Outcome::Unknown("not tried: the DCS was silent".to_owned());
                    self.effects.push(Effect {
                        action: stored,
                        outcome,
                    });
                }
                stored => {
                    let outcome = self.store(&stored).await;
                    if let (Action::WriteFailsafe(list), Outcome::Done) = (&stored, &outcome) {
                        self.roll.written(list);
                        self.show_the_roll();
                    }
                    store_is_silent = matches!(outcome, Outcome::Unknown(_));
                    self.wake_after(&stored, &outcome);
                    self.effects.push(Effect {
                        action: stored,
                        outcome,
                    });
                }
            }
        }
        Then::GoOn
    }

    async fn adjust(&self, change: &Adjustment) -> Outcome {
        let follows = match change {
            Adjustment::Follow { upstream } => upstream.as_ref(),
            _ => return self.change(change).await,
        };
        let _held = self.votes.hold().await;
        match self.voted_against(follows) {
            Some(to) => {
                info!("{change} is put off: this member has voted for {to} a moment ago");
                Outcome::Refused
            }
            None => self.change(change).await,
        }
    }

    async fn change(&self, change: &Adjustment) -> Outcome {
        match self.ports.postgres.adjust(change).await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                warn!("{change}: {error}");
                Outcome::Unknown(error.to_string())
            }
        }
    }

    /// For whom this member has voted since the read by which `upstream` is to be followed, if that is somebody else.
    fn voted_against(&self, upstream: Option<&Upstream>) -> Option<MemberName> {
        let upstream = upstream?;
        let to = self.votes.since(self.read_began)?;
        (upstream.name.as_ref() != Some(&to)).then_some(to)
    }

    async fn begin(&mut self, work: Work) {
        let votes = self.votes.clone();
        // Only what is to stream from somebody waits for a vote that is being cast: a stop never does.
        let _held = match work.upstream() {
            Some(_) => Some(votes.hold().await),
            None => None,
        };
        if let Some(to) = self.voted_against(work.upstream()) {
            let kind = work.kind();
            return info!("{kind} is put off: this member has voted for {to} a moment ago");
        }
        votes.note_busy(work.kind() != WorkKind::Checkpoint);
        let now = self.ports.clock.now();
        if needs_the_lease(&work)
            && let Err(Promise { to, .. }) = self.promises.stand(now)
        {
            return warn!("{} is put off: {to} was promised a moment ago", work.kind());
        }
        let around = self.announce(&work);
        self.worker
            .begin((work, around), &self.ports.postgres, now, &self.wake);
    }

    /// What changes who leads, or lets a next step begin, is looked at again at once.
    fn wake_after(&self, action: &Action, outcome: &Outcome) {
        let quiet = matches!(
            action,
            Action::PublishMember(_) | Action::WriteStatus(_) | Action::WriteHistory(_)
        );
        if !quiet && !matches!(outcome, Outcome::Unknown(_)) {
            self.wake.wake();
        }
    }

    /// A write to the store, with its fence.
    async fn store(&self, action: &Action) -> Outcome {
        let me = self.spec.me.clone();
        let result = match action {
            Action::PublishMember(doc) => {
                self.put(&Key::Member(me), &doc.render(), Condition::ALWAYS)
                    .await
            }
            Action::AcquireLeader => self.acquire().await,
            Action::ReleaseLeader { optime } => self.release(*optime).await,
            Action::HandOver { to, optime } => self.hand_over(to, *optime).await,
            Action::TakeInitialize => self.put(&Key::Initialize, "", Condition::ABSENT).await,
            Action::WriteInitialize {
                system_id,
                expected,
            } => {
                self.put(&Key::Initialize, system_id, Condition::unchanged(*expected))
                    .await
            }
            Action::DeleteInitialize { expected } => {
                self.delete(&Key::Initialize, Condition::unchanged(Some(*expected)))
                    .await
            }
            Action::RestoreConfig { config, expected } => {
                let when = Condition::unchanged(*expected);
                self.put(&Key::Config, &config.to_string(), when).await
            }
            Action::WriteStatus(status) => self.write_status(status).await,
            Action::WriteSync { doc, expected } => {
                let when = Condition::unchanged(*expected).and_leading();
                self.put(&Key::Sync, &doc.render(), when).await
            }
            Action::DeleteSync { expected } => {
                let when = Condition::unchanged(Some(*expected)).and_leading();
                self.delete(&Key::Sync, when).await
            }
            Action::WriteHistory(doc) => {
                self.put(&Key::History, &doc.render(), Condition::LEADING)
                    .await
            }
            Action::WriteFailsafe(members) => {
                let json = serde_json::Value::from_iter(members.clone());
                self.put(&Key::Failsafe, &json.to_string(), Condition::LEADING)
                    .await
            }
            Action::DeleteFailsafe => self.delete(&Key::Failsafe, Condition::LEADING).await,
            Action::WriteFailover { doc, expected } => {
                let when = Condition::unchanged(Some(*expected));
                self.put(&Key::Failover, &doc.render(), when).await
            }
            Action::Adjust(_)
            | Action::ArmWatchdog
            | Action::Begin(_)
            | Action::CancelWork
            | Action::Answer { .. }
            | Action::Ask(_)
            | Action::Exit { .. } => Ok(Outcome::Done),
        };
        result.unwrap_or_else(|error| {
            warn!("outcome unknown: {error}");
            Outcome::Unknown(error.to_string())
        })
    }

    async fn delete(&self, key: &Key, when: Condition) -> Result<Outcome, DcsError> {
        self.ports.dcs.delete(key, when).await.map(outcome_of)
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Outcome, DcsError> {
        self.ports.dcs.put(key, value, when).await.map(outcome_of)
    }

    async fn write_status(&self, status: &StatusDoc) -> Result<Outcome, DcsError> {
        self.put(&Key::Status, &status.render(), Condition::LEADING)
            .await
    }

    /// Takes the key; how long the lease behind it is good only a renewal tells.
    async fn acquire(&self) -> Result<Outcome, DcsError> {
        if let Err(Promise { to, .. }) = self.promises.stand(self.ports.clock.now()) {
            info!("the leader key is left alone: {to} was promised a moment ago");
            return Ok(Outcome::Refused);
        }
        match self.ports.dcs.acquire_leader().await? {
            Acquisition::Mine => {
                self.board.renew_now().await;
                info!("acquired the leader key");
                Ok(Outcome::Done)
            }
            Acquisition::Taken => Ok(Outcome::Refused),
        }
    }

    async fn release(&self, optime: Option<Lsn>) -> Result<Outcome, DcsError> {
        self.write_optime(optime).await?;
        // Before the attempt: should its outcome stay unknown, only a renewal may say that it is mine.
        self.board.gave_away();
        self.give_promises_back().await;
        let was_mine = self.ports.dcs.release_leader().await?;
        info!("released the leader key");
        Ok(if was_mine {
            Outcome::Done
        } else {
            Outcome::Refused
        })
    }

    async fn hand_over(&self, to: &MemberName, optime: Option<Lsn>) -> Result<Outcome, DcsError> {
        self.write_optime(optime).await?;
        self.board.gave_away();
        self.give_promises_back().await;
        match self.ports.dcs.hand_over(to).await? {
            HandOver::Done => {
                info!("handed the leader key over to {to}");
                Ok(Outcome::Done)
            }
            HandOver::NotMine => {
                error!("the leader key was not mine to hand over");
                Ok(Outcome::Refused)
            }
            HandOver::NoLease => {
                warn!("{to} has no lease to hold the leader key on");
                // It is still mine, and only a renewal may say so: then the next turn releases it.
                self.board.renew_now().await;
                Ok(Outcome::Refused)
            }
        }
    }

    /// The key goes, and no primary runs here: nobody need wait for the end of what it promised.
    async fn give_promises_back(&self) {
        if !self.situation.get().primary {
            let appeal = self.appeal.borrow().clone();
            promises::give_back(appeal, &self.board, &self.ports).await;
        }
    }

    /// Where the WAL ends at the stop, for those who race (contract §5.8). Slots keep what they said.
    async fn write_optime(&self, optime: Option<Lsn>) -> Result<(), DcsError> {
        let Some(optime) = optime else { return Ok(()) };
        let known = self
            .dcs
            .last()
            .map(|view| view.status.clone())
            .unwrap_or_default();
        let status = StatusDoc {
            optime: Some(optime),
            ..known
        };
        self.write_status(&status).await.map(drop)
    }
}

/// Whether a work may only be done by the leader.
pub(crate) const fn needs_the_lease(work: &Work) -> bool {
    matches!(
        work,
        Work::Promote { .. }
            | Work::Start {
                start_as: StartAs::Primary {
                    valid_until: Some(_)
                },
                ..
            }
            | Work::Restart {
                start_as: StartAs::Primary {
                    valid_until: Some(_)
                },
                ..
            }
    )
}

const fn outcome_of(written: Written) -> Outcome {
    match written {
        Written::Done(_) => Outcome::Done,
        Written::Refused => Outcome::Refused,
    }
}

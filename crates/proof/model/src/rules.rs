//! When each step may happen and what it does. Every rule is one of the agent's; [`Without`] takes one away.

use stateright::{Model, Property};

use crate::promise;
use crate::state::{
    MEMBERS, Member, Renewal, Role, Set, State, SyncWrite, TTL, has, with, without,
};
use crate::step::Step;

/// The ingredient that is left out, to see that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// None: the model is as the agent is.
    Nothing,
    /// No fence: only a turn stops a primary whose lease is over, so not while the agent stands still.
    Fence,
    /// The lease counts from the answer to a renewal, not from before it was sent.
    BeforeSending,
    /// The leader key is taken whoever holds it.
    FreeKey,
    /// A candidate does not look whether `/sync` names it.
    SyncInRace,
    /// A promotion does not write `/sync` first.
    SyncBeforePromotion,
    /// A standby is no longer waited for before it has left `/sync`.
    SyncShrinksFirst,
    /// A standby enters `/sync` before it has caught up.
    CaughtUp,
    /// `/sync` is written whoever has written it since it was read.
    SyncUnchanged,
    /// Commits wait for less while a write of `/sync` may still arrive.
    Overtaking,
    /// Who has taken the key, and is named as the leader in `/sync` already, does not write that anew.
    SyncOfThisReign,
    /// A promise does not keep anybody from racing.
    BindingPromise,
    /// A promise is forgotten when the agent dies.
    WrittenPromise,
}

/// How far the model goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// So many commits.
    pub commits: u8,
    /// So many faults: an agent frozen, a host dead, the leader cut off from the store.
    pub faults: u8,
    /// The leader may be led by promises.
    pub promises: bool,
    /// A renewal, the store's answer to it and its arrival are steps of their own; else they are one.
    pub slow_renewals: bool,
    /// A write of `/sync` is sent in one step and arrives in another, and the store can not see whether its author leads (Kubernetes, etcd's
    /// API v2); else it is one step of who leads.
    pub slow_sync: bool,
    /// So many times a standby enters or leaves `/sync` in slow writes.
    pub upkeep: u8,
}

/// The herd, with or without one of its ingredients.
#[derive(Debug, Clone, Copy)]
pub struct Herd {
    /// What is left out.
    pub without: Without,
    /// How far it goes.
    pub bounds: Bounds,
}

impl Model for Herd {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::first()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let alone = [Step::Tick, Step::CutOff, Step::Heal, Step::Expire];
        let of_one = (0..MEMBERS).flat_map(|it| {
            [
                Step::Freeze(it),
                Step::Thaw(it),
                Step::Crash(it),
                Step::Return(it),
                Step::SendRenewal(it),
                Step::Renew(it),
                Step::Answer(it),
                Step::Promise(it),
                Step::Acquire(it),
                Step::WriteSync(it),
                Step::Arrive(it),
                Step::Overtake(it),
                Step::Promote(it),
                Step::Write(it),
                Step::Acknowledge(it),
            ]
        });
        let of_two = (0..MEMBERS).flat_map(|it| {
            (0..MEMBERS)
                .filter(move |other| *other != it)
                .flat_map(move |other| {
                    [
                        Step::Stream(it, other),
                        Step::AddName(it, other),
                        Step::AddSync(it, other),
                        Step::DropSync(it, other),
                        Step::DropName(it, other),
                    ]
                })
        });
        let all = alone.into_iter().chain(of_one).chain(of_two);
        steps.extend(all.filter(|step| self.may(state, *step)));
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.perform(&mut next, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promise::all()
    }
}

impl Herd {
    /// Whether a rule is kept.
    fn keeps(&self, rule: Without) -> bool {
        self.without != rule
    }

    /// Without commits there is nothing to lose, and `/sync` is not kept.
    const fn is_asynchronous(&self) -> bool {
        self.bounds.commits == 0
    }

    /// Whether `step` may happen.
    pub(crate) fn may(&self, state: &State, step: Step) -> bool {
        let fault_left = state.faults < self.bounds.faults;
        let runs = |it: usize| !state.members[it].frozen;
        match step {
            // Nothing that is due waits for the clock: the fence acts, and time does not run away from the store.
            Step::Tick => {
                state.lease > 0
                    || state
                        .members
                        .iter()
                        .any(|it| it.bound_for > 0 || it.leads())
            }
            Step::Freeze(it) => fault_left && runs(it) && state.members[it].role != Role::Stopped,
            Step::Thaw(it) => !runs(it),
            Step::Crash(it) => fault_left && state.members[it].role != Role::Stopped,
            Step::Return(it) => state.members[it].role == Role::Stopped && runs(it),
            Step::CutOff => fault_left && self.bounds.promises && !state.cut_off,
            Step::Heal => state.cut_off,
            Step::Expire => state.leader.is_some() && state.lease == 0,
            Step::SendRenewal(it) | Step::Renew(it) | Step::Answer(it) | Step::Promise(it) => {
                self.lease_may(state, it, step)
            }
            Step::Acquire(it) | Step::WriteSync(it) | Step::Promote(it) => {
                self.promotion_may(state, it, step)
            }
            Step::Arrive(it) => state.members[it].sync_write.is_some(),
            Step::Overtake(it) => {
                let member = &state.members[it];
                let mine = state.sync_leader == it && member.role == Role::Primary;
                mine && member.leads() && !member.frozen && member.may_still_write()
            }
            Step::Write(it) => {
                state.members[it].role == Role::Primary && state.written < self.bounds.commits
            }
            Step::Acknowledge(it) => acknowledgeable(state, it) != 0,
            Step::Stream(from, to) => streams(state, from, to),
            Step::AddName(it, other)
            | Step::AddSync(it, other)
            | Step::DropSync(it, other)
            | Step::DropName(it, other) => self.sync_may(state, it, other, step),
        }
    }

    /// Whether it has written `/sync` since it took the key; only a store that sees who leads makes that needless.
    fn wrote(&self, member: &Member) -> bool {
        !self.bounds.slow_sync || member.wrote_sync || !self.keeps(Without::SyncOfThisReign)
    }

    fn lease_may(&self, state: &State, it: usize, step: Step) -> bool {
        let member = &state.members[it];
        let reaches = !state.cut_off || state.leader != Some(it);
        match step {
            Step::SendRenewal(_) => {
                let useful = self.bounds.slow_renewals || state.lease < TTL;
                let sends = member.leads() && !member.frozen && member.renewal.is_none();
                let answered = self.bounds.slow_renewals || state.leader == Some(it);
                sends && reaches && useful && answered
            }
            Step::Renew(_) => member.renewal.is_some_and(|it| !it.done) && state.leader == Some(it),
            Step::Answer(_) => {
                member.renewal.is_some_and(|it| it.done) && member.leads() && !member.frozen
            }
            Step::Promise(_) => {
                let others = (0..MEMBERS).filter(|other| *other != it);
                let mut others = others.map(|other| &state.members[other]);
                let willing =
                    others.all(|it| !it.leads() && !it.frozen && it.role != Role::Primary);
                self.bounds.promises && member.leads() && !member.frozen && willing
            }
            _ => false,
        }
    }

    fn promotion_may(&self, state: &State, it: usize, step: Step) -> bool {
        let member = &state.members[it];
        if member.frozen || member.role != Role::Replica {
            return false;
        }
        let holds = state.leader == Some(it) && member.leads();
        match step {
            Step::Acquire(_) => {
                let free = state.leader.is_none() || !self.keeps(Without::FreeKey);
                let bound = member.bound_for > 0 && self.keeps(Without::BindingPromise);
                let may = self.is_asynchronous()
                    || state.sync_names(it)
                    || !self.keeps(Without::SyncInRace);
                state.leader != Some(it) && free && !bound && may
            }
            Step::WriteSync(_) => {
                let mine = state.sync_leader == it && state.sync == 0 && self.wrote(member);
                let slow = self.bounds.slow_sync;
                let sent = member.sync_write.is_some();
                // What let it take the key may be another's by now.
                let named = !slow || state.sync_names(it);
                let believes = holds || (slow && member.leads());
                believes && !mine && !sent && named && !self.is_asynchronous()
            }
            // It looks at its own count only: the store may say otherwise meanwhile.
            Step::Promote(_) => {
                let waits = state.sync & !member.names == 0;
                let mine = state.sync_leader == it && waits && self.wrote(member);
                let written =
                    self.is_asynchronous() || mine || !self.keeps(Without::SyncBeforePromotion);
                member.leads() && written
            }
            _ => false,
        }
    }

    fn sync_may(&self, state: &State, it: usize, other: usize, step: Step) -> bool {
        let member = &state.members[it];
        if self.is_asynchronous()
            || member.role != Role::Primary
            || member.frozen
            || !member.leads()
        {
            return false;
        }
        // By its own count it leads, and the store looks where it can.
        let leads_there = (state.leader == Some(it) || self.bounds.slow_sync)
            && state.sync_leader == it
            && member.sync_write.is_none()
            && (!self.bounds.slow_sync || state.upkeep < self.bounds.upkeep);
        let waited_for = has(member.names, other);
        let listed = has(state.sync, other) && state.sync_leader == it;
        let streams = state.members[other].role == Role::Replica;
        match step {
            Step::AddName(..) => !waited_for && streams,
            Step::AddSync(..) => {
                let has_all = state.members[other].wal == member.wal;
                let proven = has_all || !self.keeps(Without::CaughtUp);
                leads_there && waited_for && !listed && proven
            }
            Step::DropSync(..) => leads_there && listed,
            Step::DropName(..) => {
                let gone = !listed || !self.keeps(Without::SyncShrinksFirst);
                let settled = !member.may_still_write() || !self.keeps(Without::Overtaking);
                waited_for && gone && settled
            }
            _ => false,
        }
    }

    /// Carries out a step that may happen.
    pub(crate) fn perform(&self, state: &mut State, step: Step) {
        match step {
            Step::Tick => self.tick(state),
            Step::Freeze(it) => {
                state.faults += 1;
                state.members[it].frozen = true;
            }
            Step::Thaw(it) => self.thaw(state, it),
            Step::Crash(it) => {
                state.faults += 1;
                self.crash(state, it);
            }
            Step::Return(it) => state.members[it].role = Role::Replica,
            Step::CutOff => {
                state.faults += 1;
                state.cut_off = true;
            }
            Step::Heal => state.cut_off = false,
            Step::SendRenewal(it) => self.send_renewal(state, it),
            Step::Renew(it) => {
                state.lease = TTL;
                if let Some(renewal) = &mut state.members[it].renewal {
                    renewal.done = true;
                }
            }
            Step::Answer(it) => self.answer(state, it),
            Step::Promise(it) => {
                for (other, member) in state.members.iter_mut().enumerate() {
                    if other == it {
                        member.good_for = Some(TTL);
                    } else {
                        member.bound_for = TTL;
                    }
                }
            }
            Step::Expire => state.leader = None,
            Step::Acquire(it) => {
                state.leader = Some(it);
                state.lease = TTL;
                state.cut_off = false;
                state.members[it].good_for = Some(TTL);
                state.members[it].renewal = None;
                state.members[it].wrote_sync = false;
            }
            Step::WriteSync(it) => {
                state.members[it].names = 0;
                self.write_sync(state, it, 0);
            }
            Step::Arrive(it) => self.arrive(state, it),
            Step::Overtake(_) => overtake(state),
            Step::Promote(it) => state.members[it].role = Role::Primary,
            Step::Write(it) => {
                let commit = usize::from(state.written);
                state.written += 1;
                state.members[it].wal = with(state.members[it].wal, commit);
            }
            Step::Acknowledge(it) => state.acknowledged |= acknowledgeable(state, it),
            Step::Stream(from, to) => state.members[to].wal = state.members[from].wal,
            Step::AddName(it, other) => {
                state.members[it].names = with(state.members[it].names, other);
            }
            Step::AddSync(it, other) => self.write_sync(state, it, with(state.sync, other)),
            Step::DropSync(it, other) => self.write_sync(state, it, without(state.sync, other)),
            Step::DropName(it, other) => {
                state.members[it].names = without(state.members[it].names, other);
            }
        }
    }

    /// A tick of the clock. What must be stopped by its end is stopped before the store may act on it.
    fn tick(&self, state: &mut State) {
        state.lease = state.lease.saturating_sub(1);
        for member in &mut state.members {
            member.bound_for = member.bound_for.saturating_sub(1);
            if let Some(renewal) = &mut member.renewal {
                renewal.age = (renewal.age + 1).min(TTL);
            }
            member.good_for = member.good_for.map(|ticks| ticks.saturating_sub(1));
            let over = member.good_for == Some(0);
            let stopped = !member.frozen || self.keeps(Without::Fence);
            if over && stopped && member.role == Role::Primary {
                member.role = Role::Stopped;
            }
            if over && !member.frozen {
                member.good_for = None;
                member.renewal = None;
            }
        }
    }

    /// The first thing that an agent does when it goes on is to look at its clock.
    fn thaw(&self, state: &mut State, it: usize) {
        let member = &mut state.members[it];
        member.frozen = false;
        if member.good_for == Some(0) {
            member.good_for = None;
            member.renewal = None;
            if member.role == Role::Primary {
                member.role = Role::Stopped;
            }
        }
    }

    /// Member `it` has read `/sync` and writes it.
    fn write_sync(&self, state: &mut State, it: usize, standbys: Set) {
        state.upkeep += u8::from(self.bounds.slow_sync && state.members[it].role == Role::Primary);
        state.members[it].sync_write = Some(SyncWrite {
            standbys,
            unchanged: true,
        });
        if !self.bounds.slow_sync {
            self.arrive(state, it);
        }
    }

    /// The store carries out what it was sent, if `/sync` is still what its author has read.
    fn arrive(&self, state: &mut State, it: usize) {
        let Some(write) = state.members[it].sync_write.take() else {
            return;
        };
        if write.unchanged || !self.keeps(Without::SyncUnchanged) {
            state.sync_leader = it;
            state.sync = write.standbys;
            state.members[it].wrote_sync = self.bounds.slow_sync && state.members[it].leads();
            overtake(state);
        }
    }

    fn crash(&self, state: &mut State, it: usize) {
        let member = &mut state.members[it];
        member.role = Role::Stopped;
        member.good_for = None;
        member.renewal = None;
        member.frozen = false;
        if !self.keeps(Without::WrittenPromise) {
            member.bound_for = 0;
        }
    }

    fn send_renewal(&self, state: &mut State, it: usize) {
        if self.bounds.slow_renewals {
            state.members[it].renewal = Some(Renewal {
                age: 0,
                done: false,
            });
        } else {
            state.lease = TTL;
            state.members[it].good_for = Some(TTL);
        }
    }

    fn answer(&self, state: &mut State, it: usize) {
        let member = &mut state.members[it];
        let Some(renewal) = member.renewal.take() else {
            return;
        };
        let counted = if self.keeps(Without::BeforeSending) {
            TTL.saturating_sub(renewal.age)
        } else {
            TTL
        };
        // Never shorter than what was proven before.
        member.good_for = member.good_for.max(Some(counted));
    }
}

/// `/sync` is at another revision: nothing that was made of the former one changes it any more.
fn overtake(state: &mut State) {
    for member in &mut state.members {
        if let Some(write) = &mut member.sync_write {
            write.unchanged = false;
        }
    }
}

/// The commits at `it` that were waited for enough and that nobody was told of.
fn acknowledgeable(state: &State, it: usize) -> u8 {
    let member = &state.members[it];
    if member.role != Role::Primary {
        return 0;
    }
    let mut there = member.wal;
    for (other, standby) in state.members.iter().enumerate() {
        if has(member.names, other) {
            there &= if standby.role == Role::Replica {
                standby.wal
            } else {
                0
            };
        }
    }
    there & !state.acknowledged
}

/// Whether WAL passes: from a primary to a replica that lacks some of it and has none of its own; or the replica
/// is wound back to the leader, which drops what it has of its own.
fn streams(state: &State, from: usize, to: usize) -> bool {
    let (source, target) = (&state.members[from], &state.members[to]);
    let pair = source.role == Role::Primary && target.role == Role::Replica;
    let prefix = target.wal & !source.wal == 0;
    pair && target.wal != source.wal && (prefix || state.leader == Some(from)) && !target.leads()
}

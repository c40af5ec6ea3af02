//! Promises from the others: a leader that can not renew its lease asks everybody who might elect itself not
//! to race. When all of them promise, nobody can lead before the promises end, so the lease is as good as
//! renewed (contract §12, `docs/decisions/2026-11-24-promises.md`).
//!
//! A task of its own, as the keeper of the lease is: a read of the DCS that hangs must not cost a promise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{
    Accepted, Fact, LeaseSeen, Lsn, MemberName, Moment, Observation, Plea, Standing,
};
use pgherd_ports::{Clock, Peers, Wake};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::Ports;
use crate::keeper::{Board, is_stuck};

/// The longest wait for one peer (contract §2.2); each is asked twice.
const PATIENCE_MAX: Duration = Duration::from_secs(2);
/// How long a write to the DCS whose outcome is unknown may still take effect.
const DOUBT: Duration = Duration::from_secs(60);
/// The longest wait for somebody who is told that its promise is given back.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Whom a leader has to ask, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appeal {
    /// Everybody else who might elect itself: name to api_url.
    others: BTreeMap<String, String>,
    plea: Plea,
}

/// Who might elect itself, as far as this leader knows for certain: what `/failsafe` holds, and what it may
/// come to hold by a write whose outcome is not known.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    known: Option<BTreeMap<String, String>>,
    doubtful: Option<(BTreeMap<String, String>, Moment)>,
}

impl Roll {
    /// What this turn's read of the DCS tells. Only a leader writes the list, so what a leader has read or
    /// written itself stays true until somebody else leads; a list read before that may be older.
    pub(crate) fn read(&mut self, me: &MemberName, seen: &Observation) {
        if seen.lease.standing != Standing::Held {
            *self = Self::default();
            return;
        }
        let Fact::Seen { value: view, .. } = &seen.dcs else {
            return;
        };
        if self
            .doubtful
            .as_ref()
            .is_some_and(|(_, until)| *until <= seen.now)
        {
            self.doubtful = None;
        }
        let listed = (!view.failsafe.is_empty()).then(|| view.failsafe.clone());
        match &view.leader {
            Some(leader) if leader.name == *me && leader.on_my_lease => self.known = listed,
            Some(leader) if leader.name == *me => {}
            Some(_) => self.known = None,
            // My key is gone: nobody changes the list, unless all is gone and anybody may race.
            None => match (&mut self.known, listed) {
                (Some(known), Some(listed)) => known.extend(listed),
                (known, None) => *known = None,
                (None, Some(_)) => {}
            },
        }
    }

    /// The list is about to be written.
    pub(crate) fn writes(&mut self, list: &BTreeMap<String, String>, now: Moment) {
        let mut list = list.clone();
        if let Some((before, _)) = self.doubtful.take() {
            list.extend(before);
        }
        self.doubtful = Some((list, now.plus(DOUBT)));
    }

    /// The list was written, for certain.
    pub(crate) fn written(&mut self, list: &BTreeMap<String, String>) {
        self.known = Some(list.clone());
    }

    /// Everybody else, when the list is known and holds me: only then can nobody else race.
    fn others(&self, me: &MemberName) -> Option<BTreeMap<String, String>> {
        let known = self.known.as_ref()?;
        if !known.contains_key(me.as_str()) {
            return None;
        }
        let mut others = known.clone();
        if let Some((doubtful, _)) = &self.doubtful {
            for (name, url) in doubtful {
                others.entry(name.clone()).or_insert_with(|| url.clone());
            }
        }
        others.remove(me.as_str());
        Some(others)
    }

    /// The appeal of a leader with this list; `None` when no promise would do.
    pub(crate) fn appeal(&self, plea: Plea) -> Option<Arc<Appeal>> {
        let others = self.others(&plea.name)?;
        Some(Arc::new(Appeal { others, plea }))
    }
}

/// Asks for promises whenever the DCS does not confirm the lease, until it is dropped.
pub(crate) async fn ask(
    mut appeal: watch::Receiver<Option<Arc<Appeal>>>,
    board: Arc<Board>,
    ports: Ports,
    wake: Wake,
) {
    let clock = Arc::clone(&ports.clock);
    let mut lease = board.subscribe();
    let mut failed: Option<Moment> = None;
    let mut complaint = String::new();
    loop {
        let seen = lease.borrow_and_update().clone();
        let wanted = appeal.borrow_and_update().clone();
        let due = wanted
            .as_ref()
            .and_then(|_| due(&seen, board.ttl(), failed, clock.now()));
        tokio::select! {
            biased;
            changed = lease.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            changed = appeal.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            () = until(due, &*clock) => {}
        }
        let Some(wanted) = wanted else { continue };
        failed = Some(clock.now());
        if is_stuck(&board, clock.now()) {
            continue;
        }
        match round(&wanted, &board, &ports).await {
            Ok(new) => {
                failed = None;
                if !std::mem::take(&mut complaint).is_empty() || new {
                    info!("all other members promise not to race: the lease is as good as renewed");
                }
                if new {
                    wake.wake();
                }
            }
            Err(why) => {
                failed = Some(clock.now());
                if why != complaint {
                    warn!("the lease is not extended by promises: {why}");
                    complaint = why;
                }
            }
        }
    }
}

/// When the next round is due: a sixth of ttl after the last proof when renewals fail, a third when they
/// only are late; some moments after a round that failed. Never for a lease that has ended.
fn due(seen: &LeaseSeen, ttl: Duration, failed: Option<Moment>, now: Moment) -> Option<Moment> {
    let until = seen.good_until.filter(|until| now < *until)?;
    if seen.standing != Standing::Held {
        return None;
    }
    let proof = until.minus(ttl);
    let first = match seen.trouble {
        Some(_) => proof.plus(ttl / 6),
        None => proof.plus(ttl / 3),
    };
    let again = failed.map(|failed| failed.plus((ttl / 20).max(Duration::from_millis(200))));
    Some(again.map_or(first, |again| again.max(first)))
}

/// Asks everybody at the same time. `true`: the lease was not led by promises before.
async fn round(appeal: &Appeal, board: &Board, ports: &Ports) -> Result<bool, String> {
    let ttl = board.ttl();
    let epoch = board.epoch();
    let sent = ports.clock.now();
    let patience = PATIENCE_MAX.min(ttl / 8);
    let mut plea = appeal.plea.clone();
    plea.span = Some(Plea::span_for(ttl));
    let plea = Arc::new(plea);
    let mut asked = JoinSet::new();
    for (name, api_url) in appeal.others.clone() {
        let (plea, ports) = (Arc::clone(&plea), ports.clone());
        asked.spawn(async move {
            let answer = match plead(&api_url, &plea, &ports, patience, ttl).await {
                Ok(lsn) => Ok(lsn),
                Err(_) => plead(&api_url, &plea, &ports, patience, ttl).await,
            };
            (name, answer)
        });
    }
    let (mut refused, mut accepted) = (BTreeMap::new(), BTreeMap::new());
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok((name, Ok(lsn))) => accepted.extend(MemberName::new(&name).ok().zip(lsn)),
            Ok((name, Err(why))) => {
                refused.insert(name, why);
            }
            Err(error) => {
                refused.insert("a question".to_owned(), error.to_string());
            }
        }
    }
    if !refused.is_empty() {
        let refused: Vec<String> = refused
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        return Err(refused.join("; "));
    }
    board.hear(accepted);
    let before = board.led_by_promises();
    board
        .confirm(epoch, sent.plus(ttl), ports.clock.now())
        .then_some(!before)
        .ok_or_else(|| "they came too late".to_owned())
}

/// Asks one. Gives how far its WAL reaches, where it says so.
async fn plead(
    api_url: &str,
    plea: &Plea,
    ports: &Ports,
    patience: Duration,
    ttl: Duration,
) -> Result<Option<Lsn>, String> {
    let (peers, clock): (&dyn Peers, &dyn Clock) = (&*ports.peers, &*ports.clock);
    let answer = tokio::select! {
        biased;
        answer = peers.plead(api_url, plea, patience) => answer.map_err(|error| error.to_string()),
        () = clock.sleep(patience) => Err(format!("no answer within {patience:?}")),
    };
    let Accepted { span, lsn } = answer?;
    match span {
        Some(span) if span < ttl => Err(format!("promises {span:?} only")),
        Some(_) | None => Ok(lsn),
    }
}

/// Gives the promises back, so that whoever is to lead now need not wait for their end. The primary must have
/// stopped, or be none.
pub(crate) async fn give_back(appeal: Option<Arc<Appeal>>, board: &Board, ports: &Ports) {
    let (Some(appeal), true) = (appeal, board.promises_last(ports.clock.now())) else {
        return;
    };
    board.promises_are_given_back();
    let mut plea = appeal.plea.clone();
    plea.span = Some(Duration::ZERO);
    let plea = Arc::new(plea);
    let mut told = JoinSet::new();
    for api_url in appeal.others.values() {
        let (plea, peers, api_url) = (Arc::clone(&plea), Arc::clone(&ports.peers), api_url.clone());
        // Whoever does not hear of it waits until the promise ends.
        told.spawn(async move { drop(peers.plead(&api_url, &plea, FAREWELL_MAX).await) });
    }
    tokio::select! {
        biased;
        () = async { while told.join_next().await.is_some() {} } => {}
        () = ports.clock.sleep(FAREWELL_MAX) => {}
    }
}

async fn until(due: Option<Moment>, clock: &dyn Clock) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn held(until: u64, trouble: bool) -> LeaseSeen {
        LeaseSeen {
            standing: Standing::Held,
            good_until: Some(at(until)),
            trouble: trouble.then(|| "no answer".to_owned()),
        }
    }

    #[test]
    fn promises_are_asked_for_long_before_the_lease_ends() {
        let due = |seen: LeaseSeen, failed| due(&seen, TTL, failed, at(101));
        assert_eq!(due(held(130, true), None), Some(at(105)));
        assert_eq!(due(held(130, false), None), Some(at(110)), "only late");
        let soon = at(120).plus(Duration::from_millis(1500));
        assert_eq!(due(held(130, true), Some(at(120))), Some(soon));
    }

    #[test]
    fn a_lease_that_has_ended_or_is_lost_is_not_covered() {
        assert_eq!(due(&held(130, true), TTL, None, at(130)), None);
        let lost = LeaseSeen {
            standing: Standing::Lost,
            ..held(130, true)
        };
        assert_eq!(due(&lost, TTL, None, at(101)), None);
    }

    #[test]
    fn whoever_a_write_of_unknown_outcome_names_is_asked_too() {
        let list = |names: &[&str]| -> BTreeMap<String, String> {
            let url = |name: &&str| ((*name).to_owned(), format!("http://{name}"));
            names.iter().map(url).collect()
        };
        let me = MemberName::new("a").unwrap();
        let names =
            |roll: &Roll| -> Option<Vec<String>> { Some(roll.others(&me)?.into_keys().collect()) };
        let mut roll = Roll::default();
        assert_eq!(names(&roll), None, "an unknown list may hold anybody");
        roll.writes(&list(&["a", "b", "c"]), at(100));
        assert_eq!(names(&roll), None);
        roll.written(&list(&["a", "b"]));
        assert_eq!(names(&roll).unwrap(), ["b", "c"]);
        roll.written(&list(&["b"]));
        assert_eq!(names(&roll), None, "without me anybody may race");
    }
}

//! When which endpoint is asked within one operation.
//!
//! The first is asked at once; whenever one fails the next follows at once, and whenever one is silent for
//! `hedge` the next is asked beside it. One that failed is asked again after a pause, one that stays silent
//! is asked again over a new connection. The first answer wins.

use std::sync::Arc;
use std::time::Duration;

use pgherd_ports::DcsError;
use tokio::time::Instant;

use crate::connect::Connect;
use crate::endpoint::Endpoint;
use crate::pace::Pace;

/// How many attempts may hang at one endpoint: the first, and one over a new connection.
const HANGING_MAX: u8 = 2;

/// One operation's attempts.
#[derive(Debug)]
pub(crate) struct Race<C: Connect> {
    lanes: Vec<Lane<C>>,
    pace: Pace,
    penalty: Duration,
}

#[derive(Debug)]
struct Lane<C: Connect> {
    endpoint: Arc<Endpoint<C>>,
    /// When it may be asked next.
    at: Instant,
    /// When it was first asked.
    since: Option<Instant>,
    running: u8,
    said: Option<String>,
}

impl<C: Connect> Race<C> {
    /// A race over `endpoints`, best first, that begins at `now`.
    pub(crate) fn new(
        mut endpoints: Vec<Arc<Endpoint<C>>>,
        pace: Pace,
        penalty: Duration,
        now: Instant,
    ) -> Self {
        if pace.once {
            endpoints.truncate(1);
        }
        let mut at = now;
        let mut lanes = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            lanes.push(Lane {
                endpoint,
                at,
                since: None,
                running: 0,
                said: None,
            });
            at += pace.hedge;
        }
        Self {
            lanes,
            pace,
            penalty,
        }
    }

    /// The next lane that is to be asked now, with its endpoint; counts it as asked.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(usize, Arc<Endpoint<C>>)> {
        if now >= self.pace.deadline {
            return None;
        }
        let (index, lane) = self
            .lanes
            .iter_mut()
            .enumerate()
            .filter(|(_, lane)| lane.may_be_asked(self.pace.once) && lane.at <= now)
            .min_by_key(|(_, lane)| lane.at)?;
        if lane.running > 0 {
            lane.endpoint.hang_up_if_silent(lane.since.unwrap_or(now));
        }
        lane.running += 1;
        lane.since.get_or_insert(now);
        lane.at = now + self.pace.again;
        Some((index, Arc::clone(&lane.endpoint)))
    }

    /// When something is to be done next, at the latest the deadline.
    pub(crate) fn next(&self) -> Instant {
        self.lanes
            .iter()
            .filter(|lane| lane.may_be_asked(self.pace.once))
            .map(|lane| lane.at)
            .min()
            .map_or(self.pace.deadline, |at| at.min(self.pace.deadline))
    }

    /// Whether nothing can come any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let exhausted = || {
            self.lanes
                .iter()
                .all(|lane| lane.running == 0 && !lane.may_be_asked(self.pace.once))
        };
        now >= self.pace.deadline || exhausted()
    }

    /// An attempt failed: the next endpoint is asked at once, this one after a pause.
    pub(crate) fn failed(&mut self, index: usize, why: String, now: Instant) {
        let (pause, penalty) = (self.pace.hedge, self.penalty);
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.running = lane.running.saturating_sub(1);
            lane.said = Some(why);
            lane.at = now + pause;
            lane.endpoint.avoid_until(now + penalty);
        }
        let unasked = self.lanes.iter_mut().find(|lane| lane.since.is_none());
        if let Some(lane) = unasked {
            lane.at = lane.at.min(now);
        }
    }

    /// An attempt succeeded: whoever was asked well before and is still silent is asked later next time.
    pub(crate) fn won(&self, index: usize, now: Instant) {
        for (other, lane) in self.lanes.iter().enumerate() {
            if other == index {
                lane.endpoint.forgive();
            } else if let Some(since) = lane.since.filter(|_| lane.running > 0)
                && now.duration_since(since) >= self.pace.hedge
            {
                lane.endpoint.avoid_until(now + self.penalty);
                lane.endpoint.hang_up_if_silent(since);
            }
        }
    }

    /// Nobody answered in time.
    pub(crate) fn lost(&self, now: Instant) -> DcsError {
        let mut silent = false;
        let mut said = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            if let Some(since) = lane.since.filter(|_| lane.running > 0) {
                silent = true;
                lane.endpoint.hang_up_if_silent(since);
                lane.endpoint.avoid_until(now + self.penalty);
            }
            let why = match &lane.said {
                Some(why) => why,
                None if lane.since.is_some() => "no answer",
                None => "not asked",
            };
            said.push(format!("{}: {why}", lane.endpoint.url()));
        }
        let said = if said.is_empty() {
            "no endpoint is known yet".to_owned()
        } else {
            said.join("; ")
        };
        if silent {
            DcsError::TimedOut(self.pace.total(), said)
        } else {
            DcsError::Unreachable(said)
        }
    }
}

impl<C: Connect> Lane<C> {
    const fn may_be_asked(&self, once: bool) -> bool {
        if once {
            return self.since.is_none();
        }
        self.running < HANGING_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Login;
    use crate::user::User;

    const TTL: Duration = Duration::from_secs(30);

    fn race(size: usize, once: bool) -> (Race<Login>, Pace) {
        let login = Arc::new(Login {
            tls: pgherd_settings::EtcdTls::default(),
            user: User::default(),
            ttl: TTL,
        });
        let endpoint = |index| Arc::new(Endpoint::new(format!("http://m{index}"), login.clone()));
        let mut pace = Pace::of_renewal(TTL, TTL);
        if once {
            pace = pace.once();
        }
        let race = Race::new((0..size).map(endpoint).collect(), pace, TTL, pace.begun);
        (race, pace)
    }

    /// The lanes that are asked at `now`.
    fn asked(race: &mut Race<Login>, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| race.due(now).map(|(lane, _)| lane)).collect()
    }

    #[test]
    fn silence_brings_the_next_endpoint_in_after_a_moment() {
        let (mut race, pace) = race(3, false);
        assert_eq!(asked(&mut race, pace.begun), [0]);
        assert_eq!(race.next(), pace.begun + pace.hedge);
        assert_eq!(asked(&mut race, pace.begun + pace.hedge), [1]);
        assert_eq!(asked(&mut race, pace.begun + pace.hedge * 2), [2]);
        // The first is asked once more over a new connection, then never again while both hang.
        assert_eq!(asked(&mut race, pace.begun + pace.again)[..1], [0]);
        let late = asked(&mut race, pace.deadline - Duration::from_millis(1));
        assert_eq!(late, [1, 2]);
        assert_eq!(race.next(), pace.deadline);
    }

    #[test]
    fn a_failure_brings_the_next_endpoint_in_at_once_and_this_one_after_a_pause() {
        let (mut race, pace) = race(2, false);
        assert_eq!(asked(&mut race, pace.begun), [0]);
        race.failed(0, "refused".to_owned(), pace.begun);
        assert_eq!(asked(&mut race, pace.begun), [1]);
        race.failed(1, "refused".to_owned(), pace.begun);
        assert_eq!(asked(&mut race, pace.begun), [0; 0]);
        assert_eq!(race.next(), pace.begun + pace.hedge);
        assert_eq!(asked(&mut race, pace.begun + pace.hedge).len(), 2);
        assert!(!race.is_over(race.next()) && race.is_over(pace.deadline));
    }

    #[test]
    fn what_must_not_happen_twice_is_asked_of_one_endpoint_once() {
        let (mut race, pace) = race(3, true);
        assert_eq!(asked(&mut race, pace.begun), [0]);
        assert_eq!(race.next(), pace.deadline);
        assert!(!race.is_over(pace.begun + pace.again));
        race.failed(0, "reset".to_owned(), pace.begun + pace.again);
        assert!(race.is_over(pace.begun + pace.again));
    }

    #[test]
    fn an_error_names_every_endpoint() {
        let (mut race, pace) = race(3, false);
        asked(&mut race, pace.begun);
        race.failed(0, "refused".to_owned(), pace.begun);
        asked(&mut race, pace.begun);
        let said = race.lost(pace.deadline);
        assert!(matches!(said, DcsError::TimedOut(..)), "{said}");
        for part in [
            "http://m0: refused",
            "http://m1: no answer",
            "http://m2: not asked",
        ] {
            assert!(said.to_string().contains(part), "{said}");
        }
    }

    #[test]
    fn who_was_silent_while_another_answered_is_asked_later() {
        let (mut race, pace) = race(2, false);
        asked(&mut race, pace.begun);
        let now = pace.begun + pace.hedge;
        asked(&mut race, now);
        race.won(1, now);
        assert!(race.lanes[0].endpoint.is_avoided(now));
        assert!(!race.lanes[1].endpoint.is_avoided(now));
        assert!(!race.lanes[0].endpoint.is_avoided(now + TTL));
    }
}

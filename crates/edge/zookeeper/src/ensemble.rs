//! The servers of the ensemble: which is asked next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pgherd_ports::DcsError;
use pgherd_settings::HostPort;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::fault::Fault;
use crate::link::{Answer, Link};
use crate::login::{Login, Session};
use crate::pace::{Pace, pause, penalty};
use crate::request::Request;

/// All servers, and how they are reached.
#[derive(Debug)]
pub(crate) struct Ensemble {
    servers: Mutex<Vec<Server>>,
    login: Login,
    seed: usize,
}

#[derive(Debug, Clone)]
struct Server {
    at: HostPort,
    avoid_until: Option<Instant>,
}

impl Ensemble {
    /// `seed` spreads members over the servers.
    pub(crate) fn new(hosts: &[HostPort], login: Login, seed: &str) -> Self {
        let ensemble = Self {
            servers: Mutex::default(),
            login,
            seed: seed.bytes().map(usize::from).sum(),
        };
        ensemble.learn(hosts);
        ensemble
    }

    /// These are the servers from now on.
    pub(crate) fn learn(&self, hosts: &[HostPort]) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<Server> = hosts
            .iter()
            .map(|at| Server {
                at: at.clone(),
                avoid_until: servers
                    .iter()
                    .find(|known| known.at == *at)
                    .and_then(|known| known.avoid_until),
            })
            .collect();
        if !new.is_empty() {
            let first = self.seed % new.len();
            new.rotate_left(first);
        }
        *servers = new;
    }

    pub(crate) const fn login(&self) -> &Login {
        &self.login
    }

    /// The servers, those that failed lately behind the others.
    fn order(&self) -> Vec<Server> {
        let now = Instant::now();
        let mut servers = self
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        servers.sort_by_key(|server| server.avoid_until.filter(|until| *until > now));
        servers
    }

    fn note(&self, at: &HostPort, avoid_until: Option<Instant>) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.iter_mut().find(|server| server.at == *at) {
            server.avoid_until = avoid_until;
        }
    }

    /// This server failed.
    pub(crate) fn avoid(&self, at: &HostPort, ttl: Duration) {
        self.note(at, Some(Instant::now() + penalty(ttl)));
    }

    /// Connects to whichever server answers first, one after the other, until the deadline.
    pub(crate) async fn open(
        &self,
        wish: Session,
        pace: &mut Pace,
    ) -> Result<Result<(Link, Session), Gone>, DcsError> {
        loop {
            let servers = self.order();
            if servers.is_empty() {
                pace.failed("Exhibitor", "it has not told any server yet", false)?;
            }
            for server in servers {
                let until = pace.attempt_until();
                let opening = Link::open(&server.at, &self.login, wish);
                let fault = match timeout_at(until, opening).await {
                    Ok(Ok(open)) => {
                        self.note(&server.at, None);
                        return Ok(Ok(open));
                    }
                    Ok(Err(Fault::SessionGone)) => return Ok(Err(Gone)),
                    Ok(Err(fault)) => fault,
                    Err(_) => Fault::Passing("no answer".into()),
                };
                self.avoid(&server.at, wish.asked);
                let at = server.at.to_string();
                pace.failed(&at, &fault.settle(&at)?, false)?;
            }
            let again = Instant::now() + pause(wish.asked);
            if again >= pace.deadline() {
                sleep_until(pace.deadline()).await;
                return Err(pace.over());
            }
            sleep_until(again).await;
        }
    }

    /// One exchange on a link that is open; the link comes back when it is still good.
    pub(crate) async fn exchange(
        &self,
        mut link: Link,
        requests: &[Request],
        pace: &mut Pace,
        ttl: Duration,
    ) -> Result<Exchange, DcsError> {
        let until = pace.attempt_until();
        let fault = match timeout_at(until, link.exchange(requests, &self.login)).await {
            Ok(Ok(answers)) => return Ok(Exchange::Answered(link, answers)),
            Ok(Err(Fault::SessionGone)) => return Ok(Exchange::SessionGone),
            Ok(Err(fault)) => fault,
            Err(_) => {
                self.avoid(link.server(), ttl);
                Fault::Passing("no answer".into())
            }
        };
        let at = link.server().to_string();
        pace.failed(&at, &fault.settle(&at)?, true)?;
        Ok(Exchange::Failed)
    }
}

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// What came of an exchange.
#[derive(Debug)]
pub(crate) enum Exchange {
    Answered(Link, Vec<Answer>),
    SessionGone,
    /// The link is no good; another may be.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<HostPort> {
        names
            .iter()
            .map(|name| HostPort::parse(name, 2181).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn who_failed_is_asked_last_and_is_remembered_over_a_new_list() {
        let ensemble = Ensemble::new(&hosts(&["a", "b", "c"]), Login::default(), "");
        let names = |ensemble: &Ensemble| -> String {
            let order = ensemble.order();
            order.iter().map(|server| server.at.host.as_str()).collect()
        };
        assert_eq!(names(&ensemble), "abc");
        ensemble.avoid(&hosts(&["a"])[0], Duration::from_secs(30));
        assert_eq!(names(&ensemble), "bca");
        ensemble.learn(&hosts(&["a", "c"]));
        assert_eq!(names(&ensemble), "ca");
    }
}

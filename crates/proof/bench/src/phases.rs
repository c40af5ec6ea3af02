//! A role change seen from outside: every agent is asked all the time, and every change of an answer is a phase.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_testbed::{Endpoint, get, request};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Pause between two questions to one agent.
const LOOK: Duration = Duration::from_millis(10);
/// An agent on a host that is gone must not keep its watcher waiting.
const ASK: Duration = Duration::from_millis(300);

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// When, since the watch's epoch.
    pub at: Duration,
    /// Which member.
    pub member: String,
    /// What.
    pub change: Change,
}

/// What an agent's answers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nobody answers there any more.
    Silent,
    /// It answers again.
    Answers,
    /// It sees that nobody holds the lease.
    Unlocked,
    /// It holds the lease.
    Leads,
    /// It does not hold the lease any more.
    LetGo,
    /// Its PostgreSQL is in another role or on another timeline.
    Role(String),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.member;
        match &self.change {
            Change::Silent => write!(f, "{member} is silent"),
            Change::Answers => write!(f, "{member} answers again"),
            Change::Unlocked => write!(f, "{member} sees that nobody holds the lease"),
            Change::Leads => write!(f, "{member} holds the lease"),
            Change::LetGo => write!(f, "{member} has let go of the lease"),
            Change::Role(role) => write!(f, "{member} is {role}"),
        }
    }
}

/// Watches agents until it is dropped.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Vec<Phase>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch; times count from `epoch`. What the agents say now is what later answers are compared with.
    pub async fn begin(servers: &[Endpoint], epoch: Instant) -> Self {
        let seen = Arc::<Mutex<Vec<Phase>>>::default();
        let mut tasks = Vec::new();
        for server in servers {
            if let Some(rest) = server.rest {
                let first = look(rest).await;
                let watcher = follow(server.name.clone(), rest, epoch, first, Arc::clone(&seen));
                tasks.push(tokio::spawn(watcher));
            }
        }
        Self { seen, tasks }
    }

    /// What changed after `from`, in order.
    #[must_use]
    pub fn since(&self, from: Duration) -> Vec<Phase> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut phases: Vec<Phase> = seen
            .iter()
            .filter(|phase| phase.at >= from)
            .cloned()
            .collect();
        phases.sort_by_key(|phase| phase.at);
        phases
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// One look at an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Seen {
    answers: bool,
    leads: bool,
    unlocked: bool,
    role: Option<String>,
}

async fn follow(
    name: String,
    rest: SocketAddr,
    epoch: Instant,
    mut last: Seen,
    log: Arc<Mutex<Vec<Phase>>>,
) {
    loop {
        sleep(LOOK).await;
        let now = look(rest).await;
        let at = epoch.elapsed();
        let changes = differences(&last, &now);
        let phases = changes.into_iter().map(|change| Phase {
            at,
            member: name.clone(),
            change,
        });
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(phases);
        // What a silent agent last said stays what it is compared with when it answers again.
        last = if now.answers {
            now
        } else {
            Seen {
                answers: false,
                ..last
            }
        };
    }
}

async fn look(rest: SocketAddr) -> Seen {
    let Ok(reply) = request("GET", rest, "/patroni", None, ASK).await else {
        return Seen::default();
    };
    let status = reply.json().unwrap_or_default();
    let leads = get(rest, "/leader")
        .await
        .is_ok_and(|reply| reply.status == 200);
    let role = status["role"]
        .as_str()
        .filter(|_| status["state"] == "running")
        .map(|role| {
            status["timeline"].as_u64().map_or_else(
                || role.to_owned(),
                |timeline| format!("{role} on timeline {timeline}"),
            )
        });
    Seen {
        answers: true,
        leads,
        unlocked: status["cluster_unlocked"] == true,
        role,
    }
}

fn differences(last: &Seen, now: &Seen) -> Vec<Change> {
    let mut changes = Vec::new();
    if !now.answers {
        if last.answers {
            changes.push(Change::Silent);
        }
        return changes;
    }
    if !last.answers {
        changes.push(Change::Answers);
    }
    if now.unlocked && !last.unlocked {
        changes.push(Change::Unlocked);
    }
    if now.leads != last.leads {
        changes.push(if now.leads {
            Change::Leads
        } else {
            Change::LetGo
        });
    }
    if now.role != last.role {
        let role = now.role.clone().unwrap_or_else(|| "not running".to_owned());
        changes.push(Change::Role(role));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::{Change, Seen, differences};

    #[test]
    fn a_promotion_is_the_lease_and_then_the_role() {
        let role = |text: &str| Some(text.to_owned());
        let replica = Seen {
            answers: true,
            leads: false,
            unlocked: true,
            role: role("replica on timeline 1"),
        };
        let leader = Seen {
            leads: true,
            unlocked: false,
            ..replica.clone()
        };
        let primary = Seen {
            role: role("primary on timeline 2"),
            ..leader.clone()
        };
        assert_eq!(differences(&replica, &leader), [Change::Leads]);
        let promoted = Change::Role("primary on timeline 2".to_owned());
        assert_eq!(differences(&leader, &primary), [promoted]);
        assert_eq!(differences(&primary, &Seen::default()), [Change::Silent]);
    }
}

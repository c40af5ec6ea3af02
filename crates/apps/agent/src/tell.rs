//! What a turn tells the log (contract §1.7, §5), in the words that people search logs for.

use std::sync::Arc;
use std::time::Duration;

use pgherd_decide::Decision;
use pgherd_domain::{ClusterView, MemberName, Moment, Notice, NoticeLevel, Observation, Reason};
use pgherd_ports::{Clock, Shown};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::Agent;

/// After so long without a turn a person wants to know why.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

impl Agent {
    /// One line per turn; the same line again only every `loop_wait`.
    pub(crate) fn tell(&mut self, decision: &Decision, seen: &Observation) {
        self.tell_notices(&decision.notices);
        let line = decision.line();
        let prefix = if self.spec.pause { "PAUSE: " } else { "" };
        let due = seen.now.since(self.last_line.1) >= self.spec.loop_wait;
        let is_new = line != self.last_line.0;
        self.tell_besides(prefix, decision, seen.dcs.known().is_some() && !is_new);
        if line == self.last_line.0 && !due {
            return;
        }
        if let Some(view) = seen.dcs.known()
            && !line.starts_with("no action. ")
        {
            info!("{}", lock_owner(view, &self.spec.me));
        }
        info!("{prefix}{line}");
        if is_new {
            for reason in decision.because.iter().skip(1) {
                tell_reason(prefix, reason);
            }
        }
        self.last_line = (line, seen.now);
    }

    /// What does not wait for another line: warnings, each step of synchronous replication, and, while the line stays as it
    /// is, notes that the last turn did not have. What is said of a DCS that does not answer goes with the line.
    fn tell_besides(&mut self, prefix: &str, decision: &Decision, notes_count: bool) {
        let mut notes = Vec::new();
        for (at, reason) in decision.because.iter().enumerate() {
            match reason {
                Reason::Warning(text) => warn!("{prefix}{text}"),
                Reason::Sync(_) if at == 0 => {}
                Reason::Sync(text) if is_loud(text) => warn!("{prefix}{text}"),
                Reason::Sync(text) => info!("{prefix}{text}"),
                Reason::Note(text) => {
                    if notes_count && !self.last_notes.contains(text) {
                        info!("{prefix}  {text}");
                    }
                    notes.push(text.clone());
                }
                _ => {}
            }
        }
        self.last_notes = notes;
    }

    /// What holds besides, told when it begins to.
    fn tell_notices(&mut self, notices: &[Notice]) {
        for notice in notices {
            let Notice { level, text } = notice;
            let known = self.last_notices.iter().any(|last| last.text == *text);
            match level {
                _ if known => {}
                NoticeLevel::Info => info!("{text}"),
                NoticeLevel::Warn => warn!("{text}"),
                NoticeLevel::Error => error!("{text}"),
            }
        }
        self.last_notices = notices.to_vec();
    }

    /// A `/config` that is no mapping: told once for each revision.
    pub(crate) fn tell_lost_config(&mut self, view: Option<&ClusterView>) {
        let Some(view) = view else { return };
        let lost = view.config_revision.filter(|_| view.config.is_none());
        if lost.is_some() && lost != self.lost_config {
            error!(
                "Exception when setting dynamic_configuration: /config is no JSON mapping. The last good \
                 configuration stays in force, and the leader writes it back"
            );
        }
        self.lost_config = lost;
    }

    /// Keys that hold what nobody understands: told once for each revision.
    pub(crate) fn tell_garbage(&mut self, view: Option<&ClusterView>) {
        let Some(view) = view else { return };
        for (key, revision) in &view.garbage {
            if self.told_garbage.get(key) != Some(revision) {
                warn!("{}", of_garbage(key));
            }
        }
        self.told_garbage = view.garbage.clone();
    }

    /// A turn that took longer than one may.
    pub(crate) fn tell_overrun(&self, began: Moment, ended: Moment) {
        let took = ended.since(began);
        if took > self.spec.loop_wait {
            warn!(
                took_ms = took.as_millis(),
                "Loop time exceeded, rescheduling immediately."
            );
        }
    }
}

fn of_garbage(key: &str) -> String {
    let so = match key {
        "leader" => {
            "no member has such a name, so nobody leads while the key is there; when no PostgreSQL runs as a primary \
             under another agent, delete it in the DCS"
        }
        "failover" => "it orders nothing; give the order anew with `switchover` or `failover`",
        key if key.starts_with("members/") => {
            "it counts as that of a member of which nothing is known; delete it, unless that member writes it anew"
        }
        _ => "it counts as empty, and the leader writes it anew when it needs it",
    };
    format!("key {key} in the DCS holds what no agent writes: {so}")
}

/// A step of synchronous replication that somebody should look at.
fn is_loud(text: &str) -> bool {
    text.starts_with("Inconsistent state") || text.starts_with("No active replication connections")
}

fn lock_owner(view: &ClusterView, me: &MemberName) -> String {
    let owner = view.leader_name().map_or("None", MemberName::as_str);
    format!("Lock owner: {owner}; I am {me}")
}

fn tell_reason(prefix: &str, reason: &Reason) {
    match reason {
        // How a work failed was logged when it did; warnings and steps are told whatever the line.
        Reason::WorkFailed { .. } | Reason::Warning(_) | Reason::Sync(_) => {}
        Reason::NotRacing(veto) => match veto.as_patroni() {
            Some(words) => info!("{words} ({veto})"),
            None => info!("{prefix}  {reason}"),
        },
        reason => info!("{prefix}  {reason}"),
    }
}

/// A first turn that waits for the DCS shows nothing yet: say what it waits for.
pub(crate) async fn who_waits(
    store: &'static str,
    shown: watch::Receiver<Option<Arc<Shown>>>,
    clock: Arc<dyn Clock>,
) {
    clock.sleep(FIRST_ANSWER).await;
    if shown.borrow().is_none() {
        info!("waiting on {store}: no answer yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_key_is_told_as_patroni_does() {
        let me = MemberName::new("b").unwrap();
        let nobody = ClusterView::default();
        assert_eq!(lock_owner(&nobody, &me), "Lock owner: None; I am b");
    }
}

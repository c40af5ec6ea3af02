//! Between two turns: has a standby begun or ended to stream, or does it take what it is sent no more? PostgreSQL tells
//! nobody, so it is asked often, with a statement that costs it next to nothing.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::server::LocalServer;

/// From one glance to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// A standby that takes nothing of what it was sent for so long is looked at by a turn.
const STANDING: Duration = Duration::from_secs(1);

/// Which walsenders there are, what they do, and up to where WAL is not acknowledged that was sent; from shared memory
/// alone.
const STATEMENT: &str = "SELECT coalesce(string_agg(concat(pid, ':', state, ':', \
                         CASE WHEN flush_lsn < sent_lsn THEN flush_lsn END), ' ' ORDER BY pid), '') \
                         FROM pg_catalog.pg_stat_get_wal_senders()";

/// What the last glance showed.
#[derive(Debug, Default)]
pub(crate) struct Glance {
    /// Each walsender with its state, `!` behind who takes nothing.
    told: Option<String>,
    /// Who lacks WAL that was sent: where it stands, and since when.
    standing: BTreeMap<String, (String, Instant)>,
}

impl Glance {
    /// Takes in an answer at `now`; whether a turn should look.
    fn take(&mut self, answer: &str, now: Instant) -> bool {
        let mut standing = BTreeMap::new();
        let mut told = String::new();
        for sender in answer.split(' ').filter(|sender| !sender.is_empty()) {
            let mut parts = sender.splitn(3, ':');
            let (pid, state) = (parts.next(), parts.next());
            let pid = pid.unwrap_or_default();
            let lacks = parts.next().filter(|position| !position.is_empty());
            told.push_str(&format!("{pid}{}", state.unwrap_or_default()));
            if let Some(position) = lacks {
                let since = match self.standing.get(pid) {
                    Some((at, since)) if at == position => *since,
                    Some(_) | None => now,
                };
                if now.duration_since(since) >= STANDING {
                    told.push('!');
                }
                standing.insert(pid.to_owned(), (position.to_owned(), since));
            }
            told.push(' ');
        }
        self.standing = standing;
        let changed = self.told.as_ref() != Some(&told);
        self.told = Some(told);
        changed
    }
}

impl LocalServer {
    /// Returns when they are others than at the last glance, or one of them has come to a stand.
    pub(crate) async fn standbys_come_or_go(&self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let Some(postmaster) = self.held() else {
                continue;
            };
            let Some(now) = self.heartbeat.peek(postmaster.file.pid, STATEMENT).await else {
                continue;
            };
            let mut last = self.standbys.lock().unwrap_or_else(PoisonError::into_inner);
            if last.take(&now, Instant::now()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_looks_when_one_comes_goes_or_stands() {
        let mut glance = Glance::default();
        let begin = Instant::now();
        let mut at =
            |answer: &str, millis| glance.take(answer, begin + Duration::from_millis(millis));
        assert!(at("7:streaming: 8:catchup:0/10", 0), "the first glance");
        assert!(!at("7:streaming: 8:catchup:0/20", 900), "it takes WAL");
        assert!(!at("7:streaming: 8:catchup:0/20", 1_800));
        assert!(at("7:streaming: 8:catchup:0/20", 1_950), "it stands");
        assert!(!at("7:streaming: 8:catchup:0/20", 9_000), "told once");
        assert!(at("7:streaming: 8:catchup:0/30", 9_100), "it goes on");
        assert!(at("7:streaming: 8:streaming:", 9_200));
        assert!(at("7:streaming:", 9_300));
        assert!(
            !at("7:streaming:0/40", 9_400),
            "it lacks what was just sent"
        );
    }
}

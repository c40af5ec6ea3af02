//! Questions to others: asked beside the loop, the answer wakes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgherd_domain::{MemberName, PeerSeen, Question, Upstream, UpstreamSeen};
use pgherd_ports::{Clock, LocalPostgres, Peers};
use tokio::task::JoinSet;

/// Peers asked at the same time, at most.
const OPEN_MAX: usize = 64;

/// A server that was asked for its history, and its answer.
pub(crate) type HistoryAnswer = (Upstream, Result<UpstreamSeen, String>);

/// Open questions and what came back.
#[derive(Debug, Default)]
pub(crate) struct Inquiries {
    tasks: JoinSet<Reply>,
    peers: BTreeMap<MemberName, PeerSeen>,
    history: Option<HistoryAnswer>,
    asking_history: bool,
}

#[derive(Debug)]
enum Reply {
    Peer(MemberName, PeerSeen),
    History(Upstream, Result<UpstreamSeen, String>),
}

impl Inquiries {
    /// Asks.
    pub(crate) fn ask(
        &mut self,
        question: Question,
        clock: &Arc<dyn Clock>,
        peers: &Arc<dyn Peers>,
        postgres: &Arc<dyn LocalPostgres>,
    ) {
        if self.tasks.len() >= OPEN_MAX {
            return;
        }
        match question {
            Question::Peer {
                name,
                api_url,
                patience,
                vote_for,
            } => {
                let asked = clock.now();
                self.peers
                    .insert(name.clone(), PeerSeen::Asking { since: asked });
                let (peers, clock) = (Arc::clone(peers), Arc::clone(clock));
                self.tasks.spawn(async move {
                    let asking = async {
                        match &vote_for {
                            Some(candidate) => peers.vote(&api_url, candidate, patience).await,
                            None => peers.status(&api_url, patience).await,
                        }
                    };
                    let answer = tokio::select! {
                        biased;
                        answer = asking => answer.map_err(|error| error.to_string()),
                        () = clock.sleep(patience) => Err(format!("no answer within {patience:?}")),
                    };
                    let seen = match answer {
                        Ok(status) => PeerSeen::Answered { asked, status },
                        Err(why) => PeerSeen::Unreachable { asked, why },
                    };
                    Reply::Peer(name, seen)
                });
            }
            Question::History(upstream) if !self.asking_history => {
                self.asking_history = true;
                let postgres = Arc::clone(postgres);
                self.tasks.spawn(async move {
                    let answer = postgres.ask_history(&upstream).await;
                    Reply::History(upstream, answer)
                });
            }
            Question::History(_) => {}
        }
    }

    /// Returns when an answer has come; never, while none is open.
    pub(crate) async fn answered(&mut self) {
        match self.tasks.join_next().await {
            Some(reply) => self.note(reply),
            None => std::future::pending().await,
        }
    }

    fn note(&mut self, reply: Result<Reply, tokio::task::JoinError>) {
        match reply {
            Ok(Reply::Peer(name, seen)) => {
                self.peers.insert(name, seen);
            }
            Ok(Reply::History(upstream, answer)) => {
                self.asking_history = false;
                self.history = Some((upstream, answer));
            }
            Err(error) => {
                self.asking_history = false;
                tracing::error!("a question to another member broke off: {error}");
            }
        }
    }

    /// What has come so far. The history is shown once.
    pub(crate) fn seen(&mut self) -> (BTreeMap<MemberName, PeerSeen>, Option<HistoryAnswer>) {
        while let Some(reply) = self.tasks.try_join_next() {
            self.note(reply);
        }
        (self.peers.clone(), self.history.take())
    }
}

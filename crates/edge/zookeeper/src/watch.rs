//! The watch on the prefix: wakes the loop, and never dies in silence.
//!
//! It has a session of its own, on which nothing hangs. ZooKeeper tells of a node once, and only that it changed; it
//! is read again then, which also asks for the next news. An event only says "look again", so nothing is lost when
//! the watch is interrupted: the loop is woken once after each new start. A watch that hears nothing asks for a sign
//! of life; without one it is given up and made anew on another server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_ports::Wake;
use pgherd_ports::keyspace::Event;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::ensemble::Gone;
use crate::fault::Fault;
use crate::link::Link;
use crate::login::Session;
use crate::pace::pause;
use crate::request::{Reply, Request, code};
use crate::store::Store;

/// The keys beside the members whose changes may wake the loop.
const KEYS: [&str; 6] = [
    "config",
    "failover",
    "history",
    "initialize",
    "leader",
    "sync",
];

/// Watches for ever.
pub(crate) async fn follow(store: Arc<Store>, me: MemberName, wake: Wake) {
    loop {
        let ttl = store.ttl();
        if let Err(why) = watch(&store, &me, &wake).await {
            tracing::debug!(why, "watch ended; start another");
        }
        // A watch that ends at once must not be made again in a hot loop.
        sleep(pause(ttl)).await;
    }
}

/// One watch on one server, until it ends; the text says why.
async fn watch(store: &Store, me: &MemberName, wake: &Wake) -> Result<(), String> {
    let mut pace = store.operation();
    let ttl = store.ttl();
    let opened = store.ensemble.open(Session::new(ttl), &mut pace).await;
    let (link, session) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(Gone)) => return Err("no session".into()),
        Err(error) => return Err(error.to_string()),
    };
    let server = link.server().clone();
    let mut watch = Watch {
        store,
        me,
        wake,
        link,
        limits: Limits::of(session.lives.min(ttl)),
        known: BTreeMap::new(),
    };
    let ended = watch.run().await;
    store.ensemble.avoid(&server, ttl);
    ended
}

struct Watch<'a> {
    store: &'a Store,
    me: &'a MemberName,
    wake: &'a Wake,
    link: Link,
    limits: Limits,
    /// What was read last, by the path below the prefix.
    known: BTreeMap<String, Option<String>>,
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<(), String> {
        for key in KEYS {
            self.read(key).await?;
        }
        self.read_members().await?;
        self.answer_door().await?;
        self.wake.wake();
        let mut heard = Instant::now();
        let mut asked = heard;
        loop {
            let limits = self.limits;
            let until = (asked + limits.ask_after).min(heard + limits.silent);
            match timeout_at(until, self.link.next_event()).await {
                Ok(Ok(event)) => {
                    heard = Instant::now();
                    asked = heard;
                    if let Some(path) = event {
                        self.look(&path).await?;
                    }
                }
                Ok(Err(fault)) => return Err(format!("{fault:?}")),
                Err(_) if Instant::now() >= heard + limits.silent => {
                    return Err(format!("silent for {:?}", limits.silent));
                }
                Err(_) => {
                    asked = Instant::now();
                    let sent = self.link.ping().await;
                    sent.map_err(|fault| format!("{fault:?}"))?;
                }
            }
        }
    }

    /// Something happened at `full`.
    async fn look(&mut self, full: &str) -> Result<(), String> {
        if full == self.store.paths.members() {
            return self.read_members().await;
        }
        if full == self.store.paths.heir(self.me) {
            return self.answer_door().await;
        }
        match full.strip_prefix(&self.store.paths.below("")) {
            Some(path) => self.read(path).await,
            None => Ok(()),
        }
    }

    /// Reads one key, and asks to be told of its next change.
    async fn read(&mut self, path: &str) -> Result<(), String> {
        let full = self.store.paths.below(path);
        let answers = self.exchange(&watched(full)).await?;
        let after = match answers.get(1) {
            Some(Ok(Reply::Node(node))) => Some(node.value.clone()),
            _ => None,
        };
        let before = self.known.insert(path.to_owned(), after.clone());
        let first = before.is_none();
        let before = before.flatten();
        let event = Event {
            path,
            before: before.as_deref(),
            after: after.as_deref(),
        };
        if path.starts_with("members/") && after.is_none() {
            // Whoever comes again is told of as a child.
            self.known.remove(path);
        }
        let changed = before != after && !(first && after.is_none());
        if changed && event.wakes(Some(self.me)) {
            self.wake.wake();
        }
        Ok(())
    }

    /// Reads who is a member, and each that was not known yet.
    async fn read_members(&mut self) -> Result<(), String> {
        let path = self.store.paths.members();
        let children = Request::Children {
            path: path.clone(),
            watch: true,
        };
        let names = match self.exchange(&[children]).await?.into_iter().next() {
            Some(Ok(Reply::Children(names, _))) => names,
            Some(Err(code::NO_NODE)) => {
                // Told as soon as there is one; it may have come just now.
                let there = Request::Exists { path, watch: true };
                if self.exchange(&[there]).await?.first() != Some(&Err(code::NO_NODE)) {
                    return Box::pin(self.read_members()).await;
                }
                return Ok(());
            }
            Some(Ok(_) | Err(_)) | None => return Err("the members can not be read".into()),
        };
        for name in names {
            let path = format!("members/{name}");
            if !self.known.contains_key(&path) {
                self.read(&path).await?;
            }
        }
        Ok(())
    }

    /// Looks whether somebody hands the leader key to me, and takes it.
    async fn answer_door(&mut self) -> Result<(), String> {
        let full = self.store.paths.heir(self.me);
        let answers = self.exchange(&watched(full)).await?;
        if let Some(Ok(Reply::Node(node))) = answers.get(1)
            && !node.value.is_empty()
        {
            match self.store.take_over(self.me).await {
                Ok(true) => {
                    tracing::info!("took the leader key over");
                    self.wake.wake();
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot take the leader key over"),
            }
        }
        Ok(())
    }

    async fn exchange(&mut self, requests: &[Request]) -> Result<Vec<crate::link::Answer>, String> {
        let login = self.store.ensemble.login();
        let exchange = self.link.exchange(requests, login);
        let patience = self.limits.ask_after;
        match timeout(patience, exchange).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(Fault::Passing(why) | Fault::Denied(why) | Fault::Final(why))) => Err(why),
            Ok(Err(Fault::SessionGone)) => Err("the session has ended".into()),
            Err(_) => Err(format!("no answer in {patience:?}")),
        }
    }
}

/// Asks for the value and for news: also of a node that is not there yet, which reading would not.
fn watched(path: String) -> [Request; 2] {
    [
        Request::Exists {
            path: path.clone(),
            watch: true,
        },
        Request::Data { path, watch: false },
    ]
}

/// How long a watch may be silent.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// After this a sign of life is asked for; ZooKeeper ends the session without one. An answer may take as long.
    ask_after: Duration,
    /// After this it is given up.
    silent: Duration,
}

impl Limits {
    fn of(ttl: Duration) -> Self {
        Self {
            ask_after: ttl / 4,
            silent: ttl * 3 / 4,
        }
    }
}

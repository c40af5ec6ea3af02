//! The peers port of one member: what other agents' REST servers say, over the simulated network.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{Accepted, MemberName, PeerStatus, PgRole, Plea};
use pgherd_ports::{PeerError, Peers, Shown};

use crate::network::Place;
use crate::process::Process;

/// How long a member lets its agent look again before it answers (as the REST server).
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(400);
/// The same while the DCS does not answer it.
const LOOK_AGAIN_WITHOUT_DCS: Duration = Duration::from_millis(100);
/// What was shown longer ago than this is old.
const OLD: Duration = Duration::from_millis(200);
/// From one look whether it has to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The other members as one member reaches them.
#[derive(Clone)]
pub(crate) struct SimPeers {
    process: Process,
}

impl fmt::Debug for SimPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimPeers({:?})", self.process)
    }
}

impl SimPeers {
    pub(crate) const fn new(process: Process) -> Self {
        Self { process }
    }

    /// One request: what the peer's agent shows; `Ok(None)` before its first turn.
    async fn get(
        &self,
        api_url: &str,
        patience: Duration,
    ) -> Result<Option<Arc<Shown>>, PeerError> {
        self.process.gate().await;
        let asked = tokio::time::timeout(patience, self.travel(api_url)).await;
        self.process.gate().await;
        asked.unwrap_or_else(|_| Err(unreachable("timed out")))
    }

    /// To the peer: its name, when its agent takes the request in.
    async fn reach(&self, api_url: &str) -> Result<MemberName, PeerError> {
        let Process { world, me, .. } = &self.process;
        let peer = host_of(api_url)
            .filter(|peer| world.look(|state| state.hosts.contains_key(peer)))
            .ok_or_else(|| unreachable("the host name is not known"))?;
        let (here, there) = (Place::Member(me.clone()), Place::Member(peer.clone()));
        if !world.carry(&here, &there).await {
            return Err(unreachable("timed out"));
        }
        if !world.look(|state| state.host(&peer).agent_runs) {
            return Err(unreachable("connection refused"));
        }
        world.thawed(&peer).await;
        Ok(peer)
    }

    async fn travel(&self, api_url: &str) -> Result<Option<Arc<Shown>>, PeerError> {
        let peer = self.reach(api_url).await?;
        let Process { world, me, .. } = &self.process;
        let (here, there) = (Place::Member(me.clone()), Place::Member(peer.clone()));
        self.look_again(&peer).await;
        let shown = world.look(|state| {
            let shown = state.host(&peer).shown.as_ref()?;
            shown.borrow().clone()
        });
        if !world.carry(&there, &here).await {
            return Err(unreachable("timed out"));
        }
        Ok(shown)
    }

    /// As the REST server does it: the peer's agent turns once more before the answer, within a bound, when what
    /// it shows is old. (The real one takes less for old: here what happens within a turn's time is one moment.)
    async fn look_again(&self, peer: &MemberName) {
        let world = &self.process.world;
        let Some(desk) = world.look(|state| state.host(peer).desk.clone()) else {
            return;
        };
        let (asked, begun) = (desk.clock.now(), world.now());
        let shown_since = |since| {
            let shown = desk.shown.borrow();
            shown.as_ref().is_some_and(|shown| shown.at >= since)
        };
        if shown_since(asked.minus(OLD)) {
            return;
        }
        desk.wake.wake();
        let knows = desk.shown.borrow().as_ref().is_none_or(|it| it.dcs_answers);
        let limit = if knows {
            LOOK_AGAIN_MAX
        } else {
            LOOK_AGAIN_WITHOUT_DCS
        };
        // Not the channel: it wakes those who wait in an order of its own.
        while !shown_since(asked) && world.now() - begun < limit {
            world.sleep(LOOK_AGAIN).await;
        }
    }

    /// A vote, there and back.
    async fn poll(&self, api_url: &str, candidate: &MemberName) -> Result<Shown, PeerError> {
        let peer = self.reach(api_url).await?;
        let Process { world, me, .. } = &self.process;
        let desk = world
            .look(|state| state.host(&peer).desk.clone())
            .ok_or_else(|| unreachable("connection refused"))?;
        let vote = desk.vote(candidate).await;
        let (here, there) = (Place::Member(me.clone()), Place::Member(peer));
        if !world.carry(&there, &here).await {
            return Err(unreachable("timed out"));
        }
        vote.map_err(|refused| PeerError::NotUsable(refused.to_string()))
    }

    /// A plea, there and back.
    async fn ask(&self, api_url: &str, plea: &Plea) -> Result<Accepted, PeerError> {
        let peer = self.reach(api_url).await?;
        let Process { world, me, .. } = &self.process;
        let desk = world
            .look(|state| state.host(&peer).desk.clone())
            .ok_or_else(|| unreachable("connection refused"))?;
        let answer = desk.promise(plea).await;
        let (here, there) = (Place::Member(me.clone()), Place::Member(peer));
        if !world.carry(&there, &here).await {
            return Err(unreachable("timed out"));
        }
        answer.map_err(|refused| PeerError::NotUsable(refused.to_string()))
    }
}

#[async_trait]
impl Peers for SimPeers {
    async fn status(&self, api_url: &str, patience: Duration) -> Result<PeerStatus, PeerError> {
        match self.get(api_url, patience).await? {
            Some(shown) => status_of(&shown),
            None => Err(PeerError::NotUsable("it is only starting".to_owned())),
        }
    }

    async fn vote(
        &self,
        api_url: &str,
        candidate: &MemberName,
        patience: Duration,
    ) -> Result<PeerStatus, PeerError> {
        self.process.gate().await;
        // Who votes goes on with it, whether or not the candidate still waits.
        let (candidate, sender, api_url) = (candidate.clone(), self.clone(), api_url.to_owned());
        let asked = tokio::spawn(async move { sender.poll(&api_url, &candidate).await });
        let answer = tokio::time::timeout(patience, asked).await;
        self.process.gate().await;
        match answer {
            Ok(Ok(shown)) => status_of(&shown?),
            Ok(Err(_)) | Err(_) => Err(unreachable("timed out")),
        }
    }

    async fn plead(
        &self,
        api_url: &str,
        plea: &Plea,
        patience: Duration,
    ) -> Result<Accepted, PeerError> {
        self.process.gate().await;
        // What is under way arrives, whether or not the sender still waits.
        let (sender, api_url, plea) = (self.clone(), api_url.to_owned(), plea.clone());
        let asked = tokio::spawn(async move { sender.ask(&api_url, &plea).await });
        let answer = tokio::time::timeout(patience, asked).await;
        self.process.gate().await;
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(unreachable("timed out")),
        }
    }

    async fn is_alive(&self, api_url: &str, patience: Duration) -> bool {
        self.get(api_url, patience).await.is_ok()
    }

    fn configure(&self, _settings: &pgherd_settings::Settings) {}
}

/// What the status document of contract §16.5 tells a peer.
fn status_of(shown: &Shown) -> Result<PeerStatus, PeerError> {
    let live = shown
        .live
        .as_ref()
        .ok_or_else(|| PeerError::NotUsable("no xlog".to_owned()))?;
    let tags = &shown.spec.tags;
    Ok(PeerStatus {
        state: Some(shown.state),
        role: Some(shown.role),
        is_primary: !live.in_recovery || shown.role == PgRole::Primary,
        position: live.position(),
        timeline: Some(live.timeline),
        nofailover: tags.nofailover,
        failover_priority: tags.failover_priority,
        watchdog_failed: shown.watchdog_failed,
    })
}

/// The member at `http://HOST:PORT/...`.
fn host_of(api_url: &str) -> Option<MemberName> {
    let rest = api_url.split_once("://")?.1;
    let host = rest.split([':', '/']).next()?;
    MemberName::new(host).ok()
}

fn unreachable(why: &str) -> PeerError {
    PeerError::Unreachable(why.to_owned())
}

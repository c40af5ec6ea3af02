//! The peers port of one member: what other agents' REST servers say, over the simulated network.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{MemberName, PeerStatus, PgRole};
use pgherd_ports::{PeerError, Peers, Shown};

use crate::network::Place;
use crate::process::Process;

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

    /// One request: what the peer's agent last showed; `Ok(None)` before its first turn.
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

    async fn travel(&self, api_url: &str) -> Result<Option<Arc<Shown>>, PeerError> {
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
        let shown = world.look(|state| {
            let shown = state.host(&peer).shown.as_ref()?;
            shown.borrow().clone()
        });
        if !world.carry(&there, &here).await {
            return Err(unreachable("timed out"));
        }
        Ok(shown)
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
        watchdog_failed: false,
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

//! `POST /vote`: who votes leaves its upstream before it says how far its WAL reaches.

use std::sync::Mutex;

use async_trait::async_trait;
use pgherd_domain::{
    Adjustment, ClusterView, DataDirectory, Entry, Fact, LiveSeen, Lsn, Moment, PgRole,
    PostgresSeen, Receiver, TimelineId, Upstream, UpstreamSeen, Work, WorkError,
};
use pgherd_ports::{AdjustError, LocalPostgres, Progress, Shown};
use pgherd_settings::Settings;
use serde_json::Value;

use crate::stand::{Stand, name};

/// A server that is as the test says, and leaves its upstream when it is told to.
#[derive(Debug)]
pub struct StillPostgres(Mutex<Fact<LiveSeen>>);

impl Default for StillPostgres {
    fn default() -> Self {
        Self(Mutex::new(Fact::Unknown {
            why: "it does not run".to_owned(),
            since: Moment::default(),
            last: None,
        }))
    }
}

impl StillPostgres {
    fn says(&self, live: LiveSeen) {
        *self.0.lock().unwrap() = Fact::seen(live, Moment::default());
    }

    fn live(&self) -> LiveSeen {
        self.0.lock().unwrap().known().unwrap().clone()
    }
}

#[async_trait]
impl LocalPostgres for StillPostgres {
    async fn observe(&self) -> PostgresSeen {
        PostgresSeen {
            data: DataDirectory::Empty,
            postmaster: Some(1),
            accepting: true,
            standby_signal: true,
            live: self.0.lock().unwrap().clone(),
            up_since: None,
            entry: Entry::Open,
            hung: None,
        }
    }

    async fn exited(&self) {
        std::future::pending::<()>().await;
    }

    async fn carry_out(&self, _: &Work, _: &Progress) -> Result<(), WorkError> {
        Err(WorkError::Failed("nothing is done here".to_owned()))
    }

    async fn adjust(&self, change: &Adjustment) -> Result<(), AdjustError> {
        assert_eq!(*change, Adjustment::Follow { upstream: None });
        let mut live = self.live();
        // What came until now.
        live.received = Lsn::new(2_000);
        (live.receiver, live.configured_upstream) = (None, None);
        self.says(live);
        Ok(())
    }

    async fn ask_history(&self, _: &Upstream) -> Result<UpstreamSeen, String> {
        Err("nobody is asked".to_owned())
    }

    async fn configure(&self, _: std::sync::Arc<Settings>, _: PgRole, _: Option<&ClusterView>) {}

    async fn reload(&self) -> Result<(), AdjustError> {
        Ok(())
    }

    async fn is_gone(&self) -> bool {
        false
    }

    async fn fence(&self) {}
}

async fn ask(stand: &Stand, body: &'static str) -> (u16, String) {
    let url = format!("{}/vote", stand.url);
    let answer = stand.http.post(url).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A replica that streams from `a` and has WAL up to 1 000.
fn replica(stand: &Stand) -> Shown {
    let sample = stand.sample();
    let mut live = sample.live.clone().unwrap();
    live.in_recovery = true;
    (live.flushed, live.received) = (Lsn::default(), Lsn::new(1_000));
    live.configured_upstream = Some(("10.0.0.1".to_owned(), 5432));
    live.receiver = Some(Receiver {
        streaming: true,
        host: Some("10.0.0.1".to_owned()),
        port: Some(5432),
        slot: None,
        timeline: TimelineId(3),
        latest_end: Lsn::new(1_000),
    });
    stand.postgres.says(live.clone());
    Shown {
        role: PgRole::Replica,
        live: Some(live),
        ..sample
    }
}

#[tokio::test]
async fn who_votes_streams_from_nobody_and_tells_what_it_has_then() {
    let stand = Stand::start().await;
    let (code, said) = ask(&stand, r#"{"name": "b"}"#).await;
    assert_eq!((code, &*said), (503, "the agent is only starting"));
    let shown = replica(&stand);
    stand.show(&shown);
    let (code, said) = ask(&stand, r#"{"name": "b"}"#).await;
    assert_eq!(code, 200, "{said}");
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["xlog"]["received_location"], 2_000);
    assert_eq!(document["role"], "replica");
    assert_eq!(stand.postgres.live().receiver, None);
    assert_eq!(stand.votes.since(None), Some(name("b")));
}

#[tokio::test]
async fn who_leads_or_does_not_know_does_not_vote() {
    let stand = Stand::start().await;
    let shown = replica(&stand);
    let (code, _) = ask(&stand, r#"{"nobody": "b"}"#).await;
    assert_eq!(code, 400);
    let me = shown.spec.me.clone();
    stand.show(&shown);
    let body = format!(r#"{{"name": "{me}"}}"#);
    let (code, _) = ask(&stand, body.leak()).await;
    assert_eq!(code, 409, "it asks itself");
    stand.votes.note_busy(true);
    let (code, said) = ask(&stand, r#"{"name": "b"}"#).await;
    assert_eq!(code, 503, "{said}");
    stand.votes.note_busy(false);
    let mut live = stand.postgres.live();
    live.in_recovery = false;
    stand.postgres.says(live);
    let (code, _) = ask(&stand, r#"{"name": "b"}"#).await;
    assert_eq!(code, 409, "it is a primary by now");
    assert_eq!(stand.votes.since(None), None);
}

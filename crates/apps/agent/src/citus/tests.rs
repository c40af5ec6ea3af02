//! Both sides of Citus on fakes: what the coordinator makes of messages, and whom a worker tells what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    Accepted, CitusEvent, CitusStep, ClusterView, DistNode, LeaderKey, MemberName, Moment,
    NodeAddress, NodeChange, NodeRole, PeerStatus, PgRole, PgState, Plea, WallTime,
};
use pgherd_ports::{CitusAsked, Clock, DcsError, Groups, NodeCatalogue, PeerError, Peers};
use pgherd_settings::{Settings, Store};
use tokio::sync::{mpsc, oneshot, watch};

use super::CitusPorts;
use super::coordinator::{Coordinator, Timing};
use super::herald::Times;

const TTL: Duration = Duration::from_secs(20);

/// A clock that a test moves.
#[derive(Debug)]
struct HandClock(watch::Sender<Moment>);

impl HandClock {
    fn forward(&self, span: Duration) {
        self.0.send_modify(|now| *now = now.plus(span));
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Moment {
        *self.0.borrow()
    }

    fn wall(&self) -> WallTime {
        WallTime::from_micros(0)
    }

    async fn sleep_until(&self, moment: Moment) {
        let mut now = self.0.subscribe();
        now.wait_for(|now| *now >= moment).await.unwrap();
    }
}

/// The groups, the catalogue and the other members, in one; what was done to them stands in `told`.
#[derive(Debug, Default)]
struct Fake {
    views: Mutex<BTreeMap<u32, ClusterView>>,
    nodes: Mutex<Vec<DistNode>>,
    /// The nodes as they were when the open transaction began.
    before: Mutex<Option<Vec<DistNode>>>,
    told: Mutex<Vec<String>>,
    answers: Mutex<bool>,
}

impl Fake {
    fn tell(&self, what: impl Into<String>) {
        self.told.lock().unwrap().push(what.into());
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

#[async_trait]
impl Groups for Fake {
    async fn list(&self) -> Result<Vec<u32>, DcsError> {
        Ok(self.views.lock().unwrap().keys().copied().collect())
    }

    async fn load(&self, group: u32) -> Result<ClusterView, DcsError> {
        let known = self.views.lock().unwrap().get(&group).cloned();
        Ok(known.unwrap_or_default())
    }

    fn configure(&self, _: &Store) {}
}

#[async_trait]
impl NodeCatalogue for Fake {
    async fn nodes(&self, _: Duration) -> Result<Vec<DistNode>, String> {
        Ok(self.nodes.lock().unwrap().clone())
    }

    async fn begin(&self, left_open: Duration) -> Result<(), String> {
        self.tell(format!("begin {left_open:?}"));
        *self.before.lock().unwrap() = Some(self.nodes.lock().unwrap().clone());
        Ok(())
    }

    async fn change(&self, change: &NodeChange, _: Duration, _: Duration) -> Result<(), String> {
        self.tell(change.to_string());
        let mut nodes = self.nodes.lock().unwrap();
        match change {
            NodeChange::Update { id, address } => {
                for node in nodes.iter_mut().filter(|node| node.id == *id) {
                    node.address = address.clone();
                }
            }
            NodeChange::Remove { address } => nodes.retain(|node| node.address != *address),
            NodeChange::Add {
                group,
                role,
                address,
            } => {
                let id = 100 + i64::try_from(nodes.len()).unwrap();
                nodes.push(DistNode {
                    id,
                    group: *group,
                    role: *role,
                    address: address.clone(),
                });
            }
        }
        Ok(())
    }

    async fn commit(&self, _: Duration) -> Result<(), String> {
        self.tell("commit");
        *self.before.lock().unwrap() = None;
        Ok(())
    }

    async fn close(&self) {
        if let Some(before) = self.before.lock().unwrap().take() {
            self.tell("roll back");
            *self.nodes.lock().unwrap() = before;
        }
    }
}

#[async_trait]
impl Peers for Fake {
    async fn status(&self, api_url: &str, _: Duration) -> Result<PeerStatus, PeerError> {
        Err(PeerError::Unreachable(api_url.to_owned()))
    }

    async fn vote(
        &self,
        api_url: &str,
        _: &MemberName,
        patience: Duration,
    ) -> Result<PeerStatus, PeerError> {
        self.status(api_url, patience).await
    }

    async fn is_alive(&self, _: &str, _: Duration) -> bool {
        *self.answers.lock().unwrap()
    }

    async fn plead(&self, api_url: &str, _: &Plea, _: Duration) -> Result<Accepted, PeerError> {
        Err(PeerError::Unreachable(api_url.to_owned()))
    }

    async fn tell_coordinator(
        &self,
        api_url: &str,
        event: &CitusEvent,
        patience: Duration,
    ) -> Result<(), PeerError> {
        let (step, group) = (event.step.as_str(), event.group);
        self.tell(format!(
            "{step} of group {group} to {api_url} within {patience:?}"
        ));
        match *self.answers.lock().unwrap() {
            true => Ok(()),
            false => Err(PeerError::Unreachable(api_url.to_owned())),
        }
    }

    fn configure(&self, _: &Settings) {}
}

fn at(host: &str) -> NodeAddress {
    NodeAddress {
        host: host.to_owned(),
        port: 5432,
    }
}

fn named(name: &str) -> MemberName {
    MemberName::new(name).unwrap()
}

/// A group whose first member leads; every member's host is its name.
fn group(members: &[&str]) -> ClusterView {
    let doc = |name: &str, role| MemberDoc {
        conn_url: format!("postgres://{name}:5432/postgres"),
        api_url: format!("http://{name}:8008/patroni"),
        state: Some(PgState::Running),
        role: Some(role),
        ..MemberDoc::default()
    };
    let roles = [PgRole::Primary].into_iter();
    let roles = roles.chain(std::iter::repeat(PgRole::Replica));
    let members_of = members.iter().zip(roles);
    ClusterView {
        leader: members.first().map(|name| LeaderKey {
            name: named(name),
            revision: 1,
            on_my_lease: false,
        }),
        members: members_of
            .map(|(name, role)| (named(name), doc(name, role)))
            .collect(),
        ..ClusterView::default()
    }
}

/// A coordinator `c` and a worker group of `a` and `b`, as they are listed.
fn fake() -> Arc<Fake> {
    let node = |id, group, role, host| DistNode {
        id,
        group,
        role,
        address: at(host),
    };
    let fake = Fake::default();
    *fake.nodes.lock().unwrap() = vec![
        node(1, 0, NodeRole::Primary, "c"),
        node(2, 1, NodeRole::Primary, "a"),
        node(3, 1, NodeRole::Secondary, "b"),
        node(4, 2, NodeRole::Primary, "d"),
    ];
    *fake.views.lock().unwrap() = BTreeMap::from([
        (0, group(&["c"])),
        (1, group(&["a", "b"])),
        (2, group(&["d"])),
    ]);
    *fake.answers.lock().unwrap() = true;
    Arc::new(fake)
}

/// The coordinator's task, with what a test does to it.
struct Stand {
    fake: Arc<Fake>,
    clock: Arc<HandClock>,
    ask: mpsc::Sender<CitusAsked>,
    leads: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Stand {
    fn start() -> Self {
        let (fake, clock) = (fake(), clock());
        let (ask, asked) = mpsc::channel(8);
        let (leads, shown) = watch::channel(true);
        let ports = CitusPorts {
            groups: fake.clone(),
            nodes: fake.clone(),
        };
        let see = shown.clone();
        let office = Box::new(move || {
            see.borrow().then_some(Timing {
                ttl: TTL,
                loop_wait: Duration::from_secs(10),
                cooldown: Duration::from_secs(3),
            })
        });
        let task = Coordinator::new(ports, asked, office, clock.clone());
        Self {
            fake,
            clock,
            ask,
            leads,
            task: tokio::spawn(task.run(shown)),
        }
    }

    async fn send(&self, step: CitusStep, group: u32, leader: &str) -> oneshot::Receiver<()> {
        let (done, answered) = oneshot::channel();
        let event = CitusEvent {
            step,
            group,
            leader: named(leader),
            timeout: TTL,
            cooldown: Duration::from_secs(3),
        };
        self.ask.send(CitusAsked { event, done }).await.unwrap();
        answered
    }

    /// Sends a message, waits for its answer, and gives what was done.
    async fn tell(&self, step: CitusStep, group: u32, leader: &str) -> Vec<String> {
        // Whoever is not heard is answered by the end of the channel.
        self.send(step, group, leader).await.await.ok();
        self.fake.told()
    }

    /// Waits until something was done.
    async fn done(&self) -> Vec<String> {
        loop {
            let told = self.fake.told();
            if !told.is_empty() {
                return told;
            }
            tokio::task::yield_now().await;
        }
    }

    fn lead(&self, group_id: u32, members: &[&str]) {
        self.fake
            .views
            .lock()
            .unwrap()
            .insert(group_id, group(members));
    }
}

fn clock() -> Arc<HandClock> {
    Arc::new(HandClock(watch::Sender::new(Moment::from_nanos(0))))
}

#[tokio::test]
async fn a_switchover_is_one_transaction_from_the_stop_to_the_new_primary() {
    let stand = Stand::start();
    let told = stand.tell(CitusStep::BeforeDemote, 1, "a").await;
    assert_eq!(told, ["begin 20s", "node 2 is at a-demoted:5432"]);
    stand.lead(1, &["b", "a"]);
    let told = stand.tell(CitusStep::BeforePromote, 1, "b").await;
    assert_eq!(told, ["node 3 is at a:5432", "node 2 is at b:5432"]);
    let told = stand.tell(CitusStep::AfterPromote, 1, "b").await;
    assert_eq!(told, ["commit"]);
}

#[tokio::test]
async fn a_failover_that_nobody_announced_and_a_restart_are_transactions_too() {
    let stand = Stand::start();
    stand.lead(1, &["b"]);
    let told = stand.tell(CitusStep::BeforePromote, 1, "b").await;
    assert_eq!(
        told,
        [
            "begin 20s",
            "node 2 is at a-demoted:5432",
            "node 3 is at a:5432",
            "node 2 is at b:5432"
        ]
    );
    assert_eq!(
        stand.tell(CitusStep::AfterPromote, 1, "b").await,
        ["commit"]
    );
    // Its rows are settled with the DCS a loop_wait later: the lost server is listed no more.
    stand.clock.forward(Duration::from_secs(10));
    assert_eq!(stand.done().await, ["remove a:5432"]);

    let told = stand.tell(CitusStep::BeforeDemote, 1, "b").await;
    assert_eq!(told, ["begin 20s", "node 2 is at b-demoted:5432"]);
    let told = stand.tell(CitusStep::AfterPromote, 1, "b").await;
    assert_eq!(told, ["node 2 is at b:5432", "commit"]);
}

#[tokio::test]
async fn a_change_that_is_not_done_in_its_time_is_rolled_back_and_others_go_on() {
    let stand = Stand::start();
    stand.tell(CitusStep::BeforeDemote, 1, "a").await;
    let waits = stand.send(CitusStep::BeforeDemote, 2, "d").await;
    stand.clock.forward(TTL);
    waits.await.unwrap();
    let told = stand.fake.told();
    assert_eq!(
        told,
        ["roll back", "begin 20s", "node 4 is at d-demoted:5432"]
    );
    let held = stand.fake.nodes.lock().unwrap()[1].address.clone();
    assert_eq!(held, at("a"));
}

#[tokio::test]
async fn who_does_not_lead_any_more_rolls_back_at_once_and_hears_nothing() {
    let stand = Stand::start();
    stand.tell(CitusStep::BeforeDemote, 1, "a").await;
    stand.leads.send_replace(false);
    assert_eq!(stand.done().await, ["roll back"]);
    let none: [&str; 0] = [];
    assert_eq!(stand.tell(CitusStep::AfterPromote, 1, "a").await, none);
    stand.leads.send_replace(true);
    // A member that does not lead its group has nothing to say of its primary.
    assert_eq!(stand.tell(CitusStep::BeforeDemote, 1, "b").await, none);
    drop(stand.leads);
    stand.task.await.unwrap();
}

#[tokio::test]
async fn a_worker_tells_the_leader_of_the_coordinator_and_waits_for_no_dead_one() {
    let (fake, clock) = (fake(), clock());
    let mut herald = super::Herald::new(1);
    let telling = herald.begin(fake.clone(), fake.clone(), clock.clone());
    let task = tokio::spawn(telling.unwrap());
    assert!(
        herald
            .begin(fake.clone(), fake.clone(), clock.clone())
            .is_none()
    );
    let spec = Times {
        ttl: TTL,
        retry_timeout: Duration::from_secs(3),
        me: named("a"),
    };
    herald
        .tell(CitusStep::BeforeDemote, &spec)
        .unwrap()
        .await
        .unwrap();
    let url = "http://c:8008/patroni";
    assert_eq!(
        fake.told(),
        [format!("before_demote of group 1 to {url} within 5s")]
    );
    // It serves again: that is told once, until something happens again.
    for _ in 0..2 {
        herald.note(true, &spec);
    }
    herald
        .tell(CitusStep::BeforePromote, &spec)
        .unwrap()
        .await
        .unwrap();
    assert_eq!(
        fake.told(),
        [
            format!("after_promote of group 1 to {url} within 2s"),
            format!("before_promote of group 1 to {url} within 2s")
        ]
    );
    *fake.answers.lock().unwrap() = false;
    herald
        .tell(CitusStep::BeforeDemote, &spec)
        .unwrap()
        .await
        .unwrap();
    assert_eq!(
        fake.told(),
        [""; 0],
        "a coordinator that is dead is not asked"
    );
    fake.views.lock().unwrap().clear();
    herald
        .tell(CitusStep::BeforeDemote, &spec)
        .unwrap()
        .await
        .unwrap();
    drop(herald);
    task.await.unwrap();
}

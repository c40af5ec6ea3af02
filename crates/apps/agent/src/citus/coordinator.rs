//! The coordinator's side: its leader keeps `pg_dist_node` as the groups are in the DCS, and while a worker's primary changes
//! it holds a transaction open in which the primary has a name that nobody has: connections to it wait.
//!
//! One session and one open transaction at a time, for the rows are locked anyway. All of it is rolled back when this member
//! does not lead any more, or when the change is not done in the time that the worker gave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pgherd_decide::citus::{demoted, moved, settled};
use pgherd_domain::{
    CitusEvent, CitusStep, ClusterView, GroupNodes, Moment, NodeAddress, NodeChange, address,
};
use pgherd_ports::{CitusAsked, Clock};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{CALL_PATIENCE, CitusPorts, MESSAGES_MAX, within};

/// After a failure the groups are looked at again so soon.
const AGAIN: Duration = Duration::from_secs(2);

/// The task.
pub(super) struct Coordinator {
    ports: CitusPorts,
    asked: mpsc::Receiver<CitusAsked>,
    office: Office,
    clock: Arc<dyn Clock>,
    /// The transaction that is open.
    open: Option<Open>,
    /// Messages of other groups, for after it.
    waiting: VecDeque<CitusAsked>,
    /// When the groups are looked at next.
    next: Moment,
    /// This member led at the last look.
    led: bool,
    /// What went wrong last, so that it is told once.
    trouble: Option<String>,
}

/// A change of a group's primary that is not done yet.
#[derive(Debug, Clone, Copy)]
struct Open {
    group: u32,
    until: Moment,
}

/// What of the settings counts here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) ttl: Duration,
    pub(super) loop_wait: Duration,
    pub(super) cooldown: Duration,
}

/// Says by which times this member leads the coordinator's group; `None` while it does not.
pub(super) type Office = Box<dyn Fn() -> Option<Timing> + Send + Sync>;

impl Coordinator {
    pub(super) fn new(
        ports: CitusPorts,
        asked: mpsc::Receiver<CitusAsked>,
        office: Office,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let next = clock.now();
        Self {
            ports,
            asked,
            office,
            clock,
            open: None,
            waiting: VecDeque::new(),
            next,
            led: false,
            trouble: None,
        }
    }

    /// Runs as long as the agent does, and looks up whenever something is `shown`.
    pub(super) async fn run<T>(mut self, mut shown: watch::Receiver<T>) {
        let clock = Arc::clone(&self.clock);
        loop {
            let leads = self.leads();
            if leads && !self.led {
                self.next = clock.now();
            }
            if !leads && self.led {
                self.roll_back().await;
                self.waiting.clear();
                self.trouble = None;
            }
            self.led = leads;
            let wake_at = match (leads, self.open) {
                (false, _) => None,
                (true, Some(open)) => Some(open.until),
                (true, None) => Some(self.next),
            };
            tokio::select! {
                biased;
                asked = self.asked.recv() => match asked {
                    Some(asked) => self.take(asked).await,
                    None => return,
                },
                changed = shown.changed() => if changed.is_err() {
                    return;
                },
                () = sleep_until(&*clock, wake_at) => self.due().await,
            }
        }
    }

    fn leads(&self) -> bool {
        (self.office)().is_some()
    }

    /// A worker's message. While the primary of another group changes it waits.
    async fn take(&mut self, asked: CitusAsked) {
        if !self.leads() {
            return info!(
                "Discarding event {}: this member does not lead",
                told(&asked.event)
            );
        }
        let is_busy = self
            .open
            .is_some_and(|open| open.group != asked.event.group);
        if is_busy {
            // One too many is not heard: its group is looked at afterwards, as all are.
            if self.waiting.len() < MESSAGES_MAX {
                self.waiting.push_back(asked);
            }
            return;
        }
        self.hear(asked).await;
        while self.open.is_none() {
            let Some(next) = self.waiting.pop_front() else {
                return;
            };
            self.hear(next).await;
        }
    }

    async fn hear(&mut self, asked: CitusAsked) {
        let CitusAsked { event, done } = asked;
        if let Err(why) = self.carry_out(&event).await {
            warn!(
                "{} was not done, the groups are looked at again: {why}",
                told(&event)
            );
            self.roll_back().await;
            self.next = self.clock.now().plus(AGAIN);
        }
        // Whoever asked may have gone.
        done.send(()).ok();
    }

    async fn carry_out(&mut self, event: &CitusEvent) -> Result<(), String> {
        let view = self.load(event.group).await?;
        if view.leader_name() != Some(&event.leader) {
            info!(
                "Discarding event {}: it does not lead its group",
                told(event)
            );
            return Ok(());
        }
        let to = view
            .leader_member()
            .and_then(address)
            .ok_or("its member key does not say where it is")?;
        match event.step {
            CitusStep::BeforeDemote => self.hold(event, None).await,
            CitusStep::BeforePromote => self.hold(event, Some(&to)).await,
            CitusStep::AfterPromote => self.let_go(event, &to).await,
        }
    }

    /// Opens the transaction if none is open, and changes the primary's row in it.
    async fn hold(&mut self, event: &CitusEvent, to: Option<&NodeAddress>) -> Result<(), String> {
        let patience = event.cooldown + CALL_PATIENCE;
        let held = self.ports.nodes.nodes(CALL_PATIENCE).await?;
        let changes = match to {
            None => demoted(&held, event.group),
            Some(to) => moved(&held, event.group, to),
        };
        if changes.is_empty() {
            return Ok(());
        }
        if self.open.is_none() {
            self.ports.nodes.begin(event.timeout).await?;
            self.open = Some(Open {
                group: event.group,
                until: self.clock.now().plus(event.timeout),
            });
        }
        self.make(&changes, event.cooldown, patience).await
    }

    /// The new primary serves: its row is right, and whoever waits goes on.
    async fn let_go(&mut self, event: &CitusEvent, to: &NodeAddress) -> Result<(), String> {
        self.hold(event, Some(to)).await?;
        if self.open.take().is_some() {
            self.ports
                .nodes
                .commit(event.cooldown + CALL_PATIENCE)
                .await?;
            info!("Citus: group {} has its primary at {to}", event.group);
        }
        // A former primary that comes back as a replica keeps its row.
        if let Some(timing) = (self.office)() {
            self.next = self.clock.now().plus(timing.loop_wait);
        }
        Ok(())
    }

    /// The time of the open change is over, or the groups are to be looked at.
    async fn due(&mut self) {
        if let Some(open) = self.open {
            warn!(
                "Citus: group {} has changed its primary for longer than its ttl; the change is rolled back, and the groups are \
                 looked at again",
                open.group
            );
            self.roll_back().await;
            self.next = self.clock.now();
            if let Some(next) = self.waiting.pop_front() {
                self.take(next).await;
            }
            return;
        }
        let Some(timing) = (self.office)() else {
            return;
        };
        let (trouble, pause) = match self.settle(timing).await {
            Ok(()) => (None, timing.loop_wait),
            Err(why) => (Some(why), timing.loop_wait.min(AGAIN)),
        };
        if let Some(why) = &trouble
            && self.trouble != trouble
        {
            warn!("Citus: pg_dist_node is not kept as the groups are: {why}");
        }
        if trouble.is_some() {
            self.roll_back().await;
        }
        self.trouble = trouble;
        self.next = self.clock.now().plus(pause);
    }

    /// Brings the catalogue to what the groups are. A group that fails does not keep the others from it.
    async fn settle(&mut self, timing: Timing) -> Result<(), String> {
        let listing = within(&*self.clock, CALL_PATIENCE, self.ports.groups.list());
        let groups = listing
            .await
            .ok_or("the DCS does not answer")?
            .map_err(|error| error.to_string())?;
        let mut first_trouble = Ok(());
        for group in groups {
            let settled = self.settle_group(group, timing).await;
            if let Err(why) = settled {
                self.roll_back().await;
                first_trouble = first_trouble.and(Err(format!("group {group}: {why}")));
            }
        }
        first_trouble
    }

    async fn settle_group(&self, group: u32, timing: Timing) -> Result<(), String> {
        let view = self.load(group).await?;
        let Some(wanted) = GroupNodes::of(&view) else {
            return Ok(());
        };
        if !self.leads() {
            return Ok(());
        }
        let held = self.ports.nodes.nodes(CALL_PATIENCE).await?;
        let changes = settled(&held, group, &wanted);
        let Timing { ttl, cooldown, .. } = timing;
        // A node is added on its own: Citus copies to it what all nodes have.
        let (added, changed): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| matches!(change, NodeChange::Add { .. }));
        if changed.len() > 1 {
            self.ports.nodes.begin(ttl).await?;
            self.make(&changed, cooldown, ttl).await?;
            self.ports.nodes.commit(ttl).await?;
        } else {
            self.make(&changed, cooldown, ttl).await?;
        }
        self.make(&added, cooldown, ttl).await
    }

    async fn make(
        &self,
        changes: &[NodeChange],
        cooldown: Duration,
        patience: Duration,
    ) -> Result<(), String> {
        for change in changes {
            let made = self.ports.nodes.change(change, cooldown, patience).await;
            made.map_err(|why| format!("{change}: {why}"))?;
            info!("Citus: {change}");
        }
        Ok(())
    }

    async fn load(&self, group: u32) -> Result<ClusterView, String> {
        let loading = within(&*self.clock, CALL_PATIENCE, self.ports.groups.load(group));
        loading
            .await
            .ok_or("the DCS does not answer")?
            .map_err(|error| error.to_string())
    }

    async fn roll_back(&mut self) {
        self.open = None;
        self.ports.nodes.close().await;
    }
}

/// A message, as the log names it.
fn told(event: &CitusEvent) -> String {
    format!(
        "{} of {}, group {}",
        event.step.as_str(),
        event.leader,
        event.group
    )
}

async fn sleep_until(clock: &dyn Clock, moment: Option<Moment>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

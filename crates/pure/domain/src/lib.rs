//! The words of pgherd: values that every other crate speaks in.
//!
//! Read in this order: `time`, `lsn`, `timeline`, `name` (the small words); `postgres` and `tags` (one
//! member); `documents` and `cluster` (what the DCS holds); `entry` (whom a server lets in), `spec` (what is wanted), `observation` (what
//! is seen), `citus`, `watchdog`, `work` and `action` (what can be done), `reason` (why).

mod action;
mod citus;
mod cluster;
pub mod documents;
mod entry;
mod hook;
mod hung;
mod lsn;
mod name;
mod notice;
mod observation;
mod postgres;
mod promise;
mod reason;
mod spec;
mod sync_outlook;
mod tags;
mod time;
mod timeline;
mod watchdog;
mod work;
mod zones;

pub use action::{Action, Adjustment, Answer, Question, Refusal};
pub use citus::{
    COORDINATOR_GROUP, CitusEvent, CitusStep, DistNode, GroupNodes, NodeAddress, NodeChange,
    NodeRole, address,
};
pub use cluster::{ClusterView, LeaderKey, Revision, Versioned};
pub use entry::Entry;
pub use hook::{Hook, HookEnd, HookRun, HooksSeen};
pub use hung::HungCommand;
pub use lsn::{Lsn, ParseLsnError, WalBytes};
pub use name::{MemberName, NOBODY, NameError, SlotName};
pub use notice::{Notice, NoticeLevel};
pub use observation::{
    Effect, Fact, LeaseSeen, Observation, Operation, Outcome, PeerSeen, PeerStatus, Request,
    RequestId, Standing, UpstreamSeen, WorkEnd, WorkSeen,
};
pub use postgres::{
    ControlData, ControlState, DataDirectory, Horizons, LiveSeen, PgRole, PgState, PostgresSeen,
    Receiver, ServerVersion, SlotParameters, SlotSeen, WalSenderSeen, is_not_after,
};
pub use promise::{Accepted, FailsafeSeen, Plea, Promise};
pub use reason::{Reason, Veto};
pub use spec::{ClusterSpec, IgnoredSlots, LogicalSlot, RemoteCluster, SyncMode};
pub use sync_outlook::{SyncOutlook, SyncWarning, sync_warnings};
pub use tags::Tags;
pub use time::{Moment, WallTime};
pub use timeline::{SwitchPoint, TimelineHistory, TimelineId};
pub use watchdog::{TimeoutVerdict, WatchdogMode, WatchdogPlan, WatchdogSeen};
pub use work::{StartAs, StopMode, Upstream, Work, WorkError, WorkKind};
pub use zones::{ZonePolicy, ZoneShortage};

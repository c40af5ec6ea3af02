//! The cluster as the DCS holds it: one consistent read of the prefix.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::MemberName;
use crate::documents::{FailoverDoc, HistoryDoc, MemberDoc, StatusDoc, SyncDoc};

/// A store revision: the version of a key that a conditional write compares with.
pub type Revision = i64;

/// A value with the revision under which it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its revision (etcd: mod_revision).
    pub revision: Revision,
}

/// The leader key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderKey {
    /// Who holds it.
    pub name: MemberName,
    /// Revision of its last change: grows with every new holder, so it orders terms of office.
    pub revision: Revision,
    /// Whether it hangs on the reader's own lease.
    pub on_my_lease: bool,
}

/// One read of everything below `/<namespace>/<scope>/` (contract §4.2).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterView {
    /// `initialize`: the system identifier, or empty while somebody bootstraps.
    pub initialize: Option<Versioned<String>>,
    /// `leader`
    pub leader: Option<LeaderKey>,
    /// `members/<name>`, by name.
    pub members: BTreeMap<MemberName, MemberDoc>,
    /// `config`: the dynamic configuration; `None` when absent or not a map.
    pub config: Option<Versioned<Value>>,
    /// The revision of the `config` key, also when what it holds is not a map.
    pub config_revision: Option<Revision>,
    /// `status`, or the legacy `optime/leader`.
    pub status: StatusDoc,
    /// `failover`; `None` when absent or cleared.
    pub failover: Option<Versioned<FailoverDoc>>,
    /// The revision of the `failover` key even when it is cleared.
    pub failover_revision: Option<Revision>,
    /// `sync`; `None` when absent.
    pub sync: Option<Versioned<SyncDoc>>,
    /// `history`; `None` when absent: the timeline is unknown.
    pub history: Option<HistoryDoc>,
    /// `failsafe`: name to api_url.
    pub failsafe: BTreeMap<String, String>,
    /// Keys whose value is not what it should be, with their revisions: they count as absent or empty. Without `config`
    /// and `initialize`, which are told in words of their own.
    pub garbage: BTreeMap<String, Revision>,
    /// `pgherd_dr`: what was done with this region and another one, a list; `None` when absent or no list.
    pub dr: Option<Versioned<Value>>,
}

impl ClusterView {
    /// The leader's name.
    pub fn leader_name(&self) -> Option<&MemberName> {
        self.leader.as_ref().map(|leader| &leader.name)
    }

    /// What the leader says of zones that commits can not wait for.
    pub fn zone_shortage(&self) -> Option<crate::ZoneShortage> {
        self.leader_member()?.zones
    }

    /// The leader's member document.
    pub fn leader_member(&self) -> Option<&MemberDoc> {
        self.members.get(self.leader_name()?)
    }

    /// The system identifier when `initialize` holds a valid one (at least 10 digits, contract §5.1, step 4).
    pub fn system_id(&self) -> Option<&str> {
        let text = self.initialize.as_ref()?.value.as_str();
        (text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
    }

    /// The dynamic configuration, when there is anything in it: an empty one counts as lost (contract §5.1,
    /// step 4).
    pub fn dynamic(&self) -> Option<&Value> {
        let config = self.config.as_ref().map(|config| &config.value);
        config.filter(|config| config.as_object().is_some_and(|keys| !keys.is_empty()))
    }

    /// The synchronous state when it is not empty (it names a leader, contract §4.3).
    pub fn sync_state(&self) -> Option<&SyncDoc> {
        self.sync
            .as_ref()
            .map(|sync| &sync.value)
            .filter(|sync| sync.leader.is_some())
    }
}

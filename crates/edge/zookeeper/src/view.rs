//! Reading the whole prefix at one moment.
//!
//! ZooKeeper reads one node at a time. So everything is read twice, in one go on one connection behind a transaction:
//! a node that was written in between is at another mzxid the second time, and one that came or went changes its
//! parent's pzxid. When both readings are equal, all of it was so at the moment between them.

use std::collections::{BTreeMap, BTreeSet};

use pgherd_domain::ClusterView;
use pgherd_ports::DcsError;
use pgherd_ports::keyspace::{Item, cluster};

use crate::answer::{barrier, data, node};
use crate::fault::explain;
use crate::link::Answer;
use crate::request::{Node, Reply, Request, code};
use crate::store::Store;

/// The keys that are read beside the members.
const KEYS: [&str; 10] = [
    "config",
    "failover",
    "failsafe",
    "history",
    "initialize",
    "leader",
    "optime/leader",
    "pgherd_dr",
    "status",
    "sync",
];
/// How often the cluster may change while it is read.
const ROUNDS_MAX: usize = 20;
/// How often somebody may add a node while all are deleted.
const ERASURES_MAX: usize = 5;

/// Everything as read once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    /// The last change of the children of the cluster's node; `None`: it is not there.
    changed: Option<i64>,
    members: BTreeSet<String>,
    nodes: BTreeMap<String, Node>,
}

impl Store {
    /// The whole prefix, linearizably.
    pub(crate) async fn read_all(&self) -> Result<ClusterView, DcsError> {
        let mut pace = self.operation();
        let mut members = self.known_members();
        for _ in 0..ROUNDS_MAX {
            let once = self.reading(&members);
            let mut requests = vec![barrier()];
            requests.extend(once.iter().cloned());
            requests.extend(once.iter().cloned());
            let answers = self.ask(&requests, &mut pace).await?;
            let answers = answers.get(1..).unwrap_or_default();
            let (first, second) = answers.split_at(answers.len() / 2);
            let first = Reading::of(first, &members)?;
            let names: Vec<String> = first.members.iter().cloned().collect();
            if names != members {
                self.note_members(&names);
                members = names;
                continue;
            }
            if first == Reading::of(second, &members)? {
                return Ok(cluster(&self.items(first)));
            }
        }
        Err(DcsError::Answered(format!(
            "the cluster changed during each of {ROUNDS_MAX} attempts to read it"
        )))
    }

    /// The requests of one reading.
    fn reading(&self, members: &[String]) -> Vec<Request> {
        let children = |path| Request::Children { path, watch: false };
        let mut requests = vec![children(self.paths.base()), children(self.paths.members())];
        let keys = KEYS.iter().map(|key| self.paths.below(key));
        requests.extend(keys.map(data));
        let members = members.iter().map(|name| format!("members/{name}"));
        requests.extend(members.map(|path| data(self.paths.below(&path))));
        requests
    }

    fn items(&self, reading: Reading) -> Vec<Item> {
        let nodes = reading.nodes.into_iter();
        nodes
            .map(|(path, node)| Item {
                path,
                value: node.value,
                revision: node.stat.mzxid,
                on_my_lease: self.is_mine(node.stat.owner),
            })
            .collect()
    }

    /// The groups of a Citus cluster: the numbers among the children of the cluster's node.
    pub(crate) async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        let mut pace = self.operation();
        let path = self.paths.base();
        let look = [barrier(), Request::Children { path, watch: false }];
        let found = self.ask(&look, &mut pace).await?;
        let (names, _) = children(found.get(1))?;
        let groups: BTreeSet<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(groups.into_iter().collect())
    }

    /// Deletes every node of the cluster, whoever wrote it.
    pub(crate) async fn erase(&self) -> Result<(), DcsError> {
        let mut pace = self.operation();
        for _ in 0..ERASURES_MAX {
            // Parents first; deleted from the end.
            let mut all = vec![self.paths.base()];
            let mut at = 0;
            while let Some(path) = all.get(at).cloned() {
                at += 1;
                let look = Request::Children {
                    path: path.clone(),
                    watch: false,
                };
                let found = self.ask(&[barrier(), look], &mut pace).await?;
                let (names, _) = children(found.get(1))?;
                all.extend(names.iter().map(|name| format!("{path}/{name}")));
            }
            let deletions = all.into_iter().rev().map(|path| Request::Delete { path });
            let deletions: Vec<Request> = deletions.collect();
            let mut added = false;
            for answer in self.ask(&deletions, &mut pace).await? {
                match answer {
                    Ok(_) | Err(code::NO_NODE) => {}
                    Err(code::NOT_EMPTY) => added = true,
                    Err(code) => return Err(DcsError::Answered(explain(code))),
                }
            }
            if !added {
                return Ok(());
            }
        }
        Err(DcsError::Answered(
            "members go on writing keys of the cluster; stop them first".into(),
        ))
    }
}

impl Reading {
    fn of(answers: &[Answer], members: &[String]) -> Result<Self, DcsError> {
        let (_, changed) = children(answers.first())?;
        let (members_there, _) = children(answers.get(1))?;
        let members = members.iter().map(|name| format!("members/{name}"));
        let paths = KEYS.iter().map(|key| (*key).to_owned()).chain(members);
        let mut nodes = BTreeMap::new();
        for (path, answer) in paths.zip(answers.iter().skip(2)) {
            if let Some(node) = node(Some(answer))? {
                nodes.insert(path, node.clone());
            }
        }
        Ok(Self {
            changed,
            members: members_there.into_iter().collect(),
            nodes,
        })
    }
}

/// The children of a node and the last change of them; none where there is no such node.
pub(crate) fn children(answer: Option<&Answer>) -> Result<(Vec<String>, Option<i64>), DcsError> {
    match answer {
        Some(Ok(Reply::Children(names, stat))) => Ok((names.clone(), Some(stat.pzxid))),
        Some(Err(code::NO_NODE)) => Ok((Vec::new(), None)),
        Some(Err(code)) => Err(DcsError::Answered(explain(*code))),
        Some(Ok(_)) | None => Err(DcsError::Answered(
            "the children of a node are missing".into(),
        )),
    }
}

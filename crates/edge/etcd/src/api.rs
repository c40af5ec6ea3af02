//! Which of etcd's two APIs a cluster is in, where the settings leave that open (section `etcd`). The first member that has
//! to choose says so in a key of today's API, which every server has; all others go by it.

use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnOpResponse};
use pgherd_ports::DcsError;

use crate::store::Etcd;

/// The key, below the cluster's prefix.
const KEY: &str = "pgherd_api";

/// One of etcd's two APIs. They share servers and nothing else: what is written by one is not seen by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// That of old, over HTTP.
    V2,
    /// That of today, over gRPC.
    V3,
}

impl Api {
    const fn word(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }

    fn read(text: &[u8]) -> Result<Self, DcsError> {
        match text {
            b"v2" => Ok(Self::V2),
            b"v3" => Ok(Self::V3),
            other => Err(DcsError::Answered(format!(
                "key `{KEY}` of this cluster says `{}`: it must say `v2` or `v3`, the API of etcd that the cluster is in. Correct \
                 or delete it",
                String::from_utf8_lossy(other)
            ))),
        }
    }
}

/// What today's API has of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traces {
    /// It has a system identifier, or somebody is about to give it one.
    pub initialized: bool,
    /// Somebody holds the leader key.
    pub led: bool,
    /// The API that the members have agreed on.
    pub agreed: Option<Api>,
}

impl Etcd {
    /// What is there of this cluster, by a linearizable read.
    ///
    /// # Errors
    /// When nobody answers, or the key says what it can not.
    pub async fn traces(&self) -> Result<Traces, DcsError> {
        let store = self.store();
        let view = store.read_all().await?;
        let key = format!("{}{KEY}", store.prefix.as_str());
        let key = key.as_str();
        let found = store
            .pool
            .ask(store.operation(), |mut client, _| async move {
                let found = client.get(key, None).await?;
                store.terms.admit(found.header())?;
                Ok(found)
            })
            .await?;
        let agreed = found.kvs().first().map(|kv| Api::read(kv.value()));
        Ok(Traces {
            initialized: view.initialize.is_some(),
            led: view.leader.is_some(),
            agreed: agreed.transpose()?,
        })
    }

    /// Agrees on `wanted`, unless others have agreed on something before: gives what counts.
    ///
    /// # Errors
    /// When nobody answers, or the key says what it can not.
    pub async fn agree(&self, wanted: Api) -> Result<Api, DcsError> {
        let store = self.store();
        let key = format!("{}{KEY}", store.prefix.as_str());
        let key = key.as_str();
        let answer = store
            .pool
            .ask(store.operation(), |mut client, _| async move {
                let txn = Txn::new()
                    .when([Compare::create_revision(key, CompareOp::Equal, 0)])
                    .and_then([TxnOp::put(key, wanted.word(), None)])
                    .or_else([TxnOp::get(key, None)]);
                let answer = client.txn(txn).await?;
                store.terms.admit(answer.header())?;
                Ok(answer)
            })
            .await?;
        if answer.succeeded() {
            return Ok(wanted);
        }
        match answer.op_responses().first() {
            Some(TxnOpResponse::Get(found)) => match found.kvs().first() {
                Some(kv) => Api::read(kv.value()),
                None => Err(changed()),
            },
            _ => Err(changed()),
        }
    }
}

impl Etcd {
    /// A cluster of which there is nothing here may be in the other API: its members have said so.
    ///
    /// # Errors
    /// When they have.
    pub(crate) async fn members_are_not_in_the_old_api(&self) -> Result<(), DcsError> {
        match self.traces().await?.agreed {
            Some(Api::V2) => Err(DcsError::Answered(format!(
                "this cluster is in etcd's API v2 (its key `{KEY}` says so), and this member's section is `etcd3`, which is v3: \
                 two would lead. Name the section `etcd`, as on the other members"
            ))),
            Some(Api::V3) | None => Ok(()),
        }
    }
}

fn changed() -> DcsError {
    DcsError::Answered(format!("key `{KEY}` changed in the same moment; try again"))
}

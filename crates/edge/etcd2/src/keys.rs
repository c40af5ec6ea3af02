//! Single steps on keys: reads that a quorum stands behind, and changes of a key that is still as it was read.

use pgherd_domain::MemberName;
use pgherd_etcd::shared::Fault;
use pgherd_ports::Key;
use tokio::time::Instant;

use crate::answer::Said;
use crate::http::Client;
use crate::node::Node;
use crate::store::Store;

/// A read that a quorum stands behind.
const QUORUM: (&str, &str) = ("quorum", "true");

impl Store {
    /// Notes how long another's leader key has left, as read by what was sent then.
    fn look_at(&self, node: &Node, sent: Instant) {
        let me = self.me.as_ref().map(MemberName::as_str);
        let leads = self.prefix.below(node.key.as_bytes()) == Some("leader");
        if leads && me != Some(node.value.as_str()) {
            self.promised.note(node, sent);
        }
    }

    /// One key as a quorum has it, and the store's index at that moment.
    pub(crate) async fn get(
        &self,
        client: &Client,
        key: &Key,
    ) -> Result<(Option<Node>, u64), Fault> {
        let full = self.prefix.key(key);
        let sent = Instant::now();
        match client.read(&full, &[QUORUM]).await? {
            Said::Done(answer) => {
                self.look_at(&answer.node, sent);
                Ok((Some(answer.node), answer.index))
            }
            Said::Absent(index) => Ok((None, index)),
            Said::Changed | Said::Forgotten => Err(odd(&full)),
        }
    }

    /// Gives a key that is as `there` another ttl and leaves its value: nobody who watches is told. `None`: it is not as
    /// it was any more.
    pub(crate) async fn refresh(
        &self,
        client: &Client,
        key: &Key,
        there: &Node,
    ) -> Result<Option<Node>, Fault> {
        let ttl = self.ttl_at(client);
        let index = there.modified_index.to_string();
        let parameters = [
            ("ttl", ttl.as_str()),
            ("refresh", "true"),
            ("prevExist", "true"),
            ("prevIndex", index.as_str()),
        ];
        let full = self.prefix.key(key);
        match client.write(&full, &parameters).await? {
            Said::Done(answer) => Ok(Some(answer.node)),
            Said::Absent(_) | Said::Changed => Ok(None),
            Said::Forgotten => Err(odd(&full)),
        }
    }

    /// All keys below the prefix, at one moment.
    pub(crate) async fn nodes(&self, client: &Client) -> Result<Node, Fault> {
        let prefix = self.prefix.as_str();
        let parameters = [("recursive", "true"), QUORUM];
        let sent = Instant::now();
        match client.read(prefix, &parameters).await? {
            Said::Done(answer) => {
                let leaves = answer.node.leaves();
                leaves.iter().for_each(|node| self.look_at(node, sent));
                Ok(answer.node)
            }
            Said::Absent(_) => Ok(Node {
                dir: true,
                ..Node::default()
            }),
            Said::Changed | Said::Forgotten => Err(odd(prefix)),
        }
    }

    /// Deletes a key that is as `there`. `false`: it is not as it was any more.
    pub(crate) async fn remove(
        &self,
        client: &Client,
        key: &Key,
        there: &Node,
    ) -> Result<bool, Fault> {
        let index = there.modified_index.to_string();
        let full = self.prefix.key(key);
        match client.remove(&full, &[("prevIndex", &index)]).await? {
            Said::Done(_) => Ok(true),
            Said::Absent(_) | Said::Changed => Ok(false),
            Said::Forgotten => Err(odd(&full)),
        }
    }
}

/// An answer that has no business there.
pub(crate) fn odd(key: &str) -> Fault {
    Fault::answered(format!(
        "its answer for `{key}` is of another kind than was asked for"
    ))
}

/// A key that changed between two requests of one attempt.
pub(crate) fn moved(key: &str) -> Fault {
    Fault::answered(format!("`{key}` changed in the same moment"))
}

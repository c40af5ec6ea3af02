//! etcd's old API. Members of Patroni whose section is `etcd`, and not `etcd3`, keep their keys there and see none of ours: a
//! cluster that they lead would get a second primary from here. So one that has no leader yet in the keys of today is only taken up
//! when nobody leads it in those of old.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use pgherd_ports::DcsError;
use serde_json::Value;

use crate::store::Store;
use crate::tls::http_client;

/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(1);

impl Store {
    /// Asks all endpoints until one answers. Where none does over HTTP, nobody of Patroni's could use it either.
    ///
    /// # Errors
    /// When somebody leads this cluster by the old API.
    pub(crate) async fn nobody_leads_by_the_old_api(&self) -> Result<(), DcsError> {
        let http = match http_client(&self.pool.login().tls, PATIENCE) {
            Ok(http) => http,
            Err(why) => {
                tracing::debug!(why, "ask etcd's old API for a leader");
                return Ok(());
            }
        };
        let key = format!("v2/keys{}leader", self.prefix.as_str());
        let endpoints = self.pool.configured();
        let mut asked: FuturesUnordered<_> = endpoints
            .iter()
            .map(|endpoint| {
                let mut request = http.get(format!("{endpoint}/{key}"));
                if let Some((user, password)) = self.pool.login().user.now() {
                    request = request.basic_auth(user, Some(password.reveal()));
                }
                async { request.send().await?.text().await }
            })
            .collect();
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(text) => return leader_of(&text).map_or(Ok(()), |leader| Err(refusal(&leader))),
                Err(error) => tracing::debug!(%error, "ask etcd's old API for a leader"),
            }
        }
        Ok(())
    }
}

/// Who holds the leader key, by the answer of the old API; `None`: nobody, or there is no such API.
fn leader_of(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let leader = answer.get("node")?.get("value")?.as_str()?;
    Some(leader.to_owned())
}

fn refusal(leader: &str) -> DcsError {
    DcsError::Answered(format!(
        "{leader} leads this cluster by etcd's old API (v2), which Patroni uses where its section is `etcd`: its members would \
         not see this one, and two would lead. Move Patroni to section `etcd3` first: pause, change the files of all members, \
         restart their agents, resume"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leader_key_is_a_leader() {
        let held = r#"{"action":"get","node":{"key":"/service/demo/leader","value":"a","ttl":29,"modifiedIndex":9}}"#;
        assert_eq!(leader_of(held).as_deref(), Some("a"));
        let none = r#"{"errorCode":100,"message":"Key not found","cause":"/service/demo/leader","index":7}"#;
        for answer in [none, "404 page not found\n", "{}", ""] {
            assert_eq!(leader_of(answer), None, "{answer}");
        }
    }
}

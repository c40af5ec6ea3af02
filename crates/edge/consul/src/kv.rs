//! Reading keys. Everything that decisions depend on is read in Consul's consistent mode.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgherd_domain::Revision;
use pgherd_ports::Key;
use serde::Deserialize;

use crate::fault::Fault;
use crate::http::{Answer, encoded};
use crate::pace::Pace;
use crate::store::Store;

/// One key as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The whole key.
    pub(crate) key: String,
    /// The value; bytes that are no UTF-8 are replaced.
    pub(crate) value: String,
    /// Consul's ModifyIndex.
    pub(crate) revision: Revision,
    /// The session that holds it; empty: none.
    pub(crate) session: String,
}

/// An entry as Consul writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    key: String,
    value: Option<String>,
    #[serde(default)]
    session: String,
    modify_index: Revision,
}

impl From<Written> for Entry {
    fn from(written: Written) -> Self {
        let value = written.value.unwrap_or_default();
        let bytes = STANDARD.decode(value).unwrap_or_default();
        Self {
            key: written.key,
            value: String::from_utf8_lossy(&bytes).into_owned(),
            revision: written.modify_index,
            session: written.session,
        }
    }
}

/// The entries of an answer; none where Consul says that there are none.
pub(crate) fn entries(answer: &Answer) -> Result<Vec<Entry>, Fault> {
    match answer.status {
        200 => {
            let written: Vec<Written> = answer.json()?;
            Ok(written.into_iter().map(Entry::from).collect())
        }
        404 => Ok(Vec::new()),
        _ => Err(answer.fault()),
    }
}

/// How a value is written in a request.
pub(crate) fn in_base64(value: &str) -> String {
    STANDARD.encode(value)
}

impl Store {
    /// One key.
    pub(crate) async fn entry(&self, key: &Key, pace: Pace) -> Result<Option<Entry>, Fault> {
        let path = format!("kv/{}", encoded(&self.prefix.key(key)));
        let answer = self.http.get(&path, "consistent", pace.again).await?;
        Ok(entries(&answer)?.into_iter().next())
    }

    /// All keys below the prefix, at one moment.
    pub(crate) async fn entries(&self, pace: Pace) -> Result<Vec<Entry>, Fault> {
        let path = format!("kv/{}", encoded(self.prefix.as_str()));
        let query = "recurse&consistent";
        entries(&self.http.get(&path, query, pace.again).await?)
    }
}

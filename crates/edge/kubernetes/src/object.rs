//! An object of Kubernetes, as far as a cluster's state is in it.

use std::collections::BTreeMap;

use pgherd_domain::Revision;
use serde_json::Value;

use crate::fault::Fault;

/// A ConfigMap, an Endpoints or a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Its version as Kubernetes writes it: what a write is compared with.
    pub(crate) version: String,
    /// The same as a number, which grows with each change of anything.
    pub(crate) number: Revision,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// A pod's address.
    pub(crate) ip: Option<String>,
}

impl Object {
    /// Reads it.
    pub(crate) fn read(value: &Value) -> Result<Self, Fault> {
        let meta = value.get("metadata");
        let text = |key| {
            let text = meta.and_then(|meta| meta.get(key)).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let map = |key| texts(meta.and_then(|meta| meta.get(key)));
        let version = text("resourceVersion");
        let ip = value.pointer("/status/podIP").and_then(Value::as_str);
        Ok(Self {
            name: text("name"),
            uid: text("uid"),
            number: number(&version)?,
            version,
            labels: map("labels"),
            annotations: map("annotations"),
            ip: ip.map(str::to_owned),
        })
    }

    /// An annotation.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }
}

/// A version as a number.
pub(crate) fn number(version: &str) -> Result<Revision, Fault> {
    let number = version.parse();
    number.map_err(|_| Fault::answered(format!("the version `{version}` is no number")))
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

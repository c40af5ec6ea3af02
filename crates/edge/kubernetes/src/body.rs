//! What is sent: new objects, and patches that change a few annotations and leave all else alone.

use std::collections::BTreeMap;

use pgherd_settings::{Kubernetes, LeaderEndpoints};
use serde_json::{Map, Value, json};

/// Annotations to set, and to take away where there is none.
pub(crate) type Annotations = BTreeMap<&'static str, Option<String>>;

/// A patch of an object; `version`: only if it is at that one.
pub(crate) fn patch(
    labels: &BTreeMap<String, Option<String>>,
    annotations: &Annotations,
    version: Option<&str>,
) -> Value {
    let annotations: Map<String, Value> = annotations
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!(text)))
        .collect();
    let mut metadata = json!({"labels": labels, "annotations": annotations});
    if let (Some(version), Some(map)) = (version, metadata.as_object_mut()) {
        map.insert("resourceVersion".to_owned(), version.into());
    }
    json!({"metadata": metadata})
}

/// A new object.
pub(crate) fn new(
    kind: &str,
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &Annotations,
) -> Value {
    let given = annotations.iter();
    let given: Map<String, Value> = given
        .filter_map(|(name, text)| Some(((*name).to_owned(), text.clone()?.into())))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels, "annotations": given},
    })
}

/// A service without an address, by which Kubernetes knows that Endpoints of this name are in use.
pub(crate) fn service(name: &str, labels: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"clusterIP": "None"},
    })
}

/// The one address that the leader's Endpoints have; none without an address.
pub(crate) fn subsets(
    endpoints: &LeaderEndpoints,
    ip: Option<&str>,
    pod: (&str, &str, &str),
) -> Value {
    let Some(ip) = ip else {
        return json!([]);
    };
    let (namespace, name, uid) = pod;
    let mut target = json!({"kind": "Pod", "namespace": namespace, "name": name});
    if let (false, Some(map)) = (uid.is_empty(), target.as_object_mut()) {
        map.insert("uid".to_owned(), uid.into());
    }
    let ports: Vec<Value> = endpoints
        .ports
        .iter()
        .map(|port| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            match &port.name {
                Some(name) => json!({"name": name, "port": port.port, "protocol": protocol}),
                None => json!({"port": port.port, "protocol": protocol}),
            }
        })
        .collect();
    json!([{"addresses": [{"ip": ip, "targetRef": target}], "ports": ports}])
}

/// What the labels of a pod say of its member's role, by what its document says (contract §4.9).
pub(crate) fn role_labels(
    settings: &Kubernetes,
    document: &str,
    leads: bool,
) -> BTreeMap<String, Option<String>> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let text = |key: &str| {
        document
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (role, state) = (text("role"), text("state"));
    let words = &settings.role;
    let (said, temporary) = match role {
        "standby_leader" if leads => (Some(words.standby_leader.as_str()), Some("primary")),
        _ if leads => (Some(words.leader.as_str()), Some("primary")),
        "primary" | "master" | "" => (None, None),
        _ if state != "running" => (None, None),
        "replica" => (Some(words.follower.as_str()), Some(role)),
        other => (Some(other), Some(other)),
    };
    let mut labels = BTreeMap::new();
    labels.insert(words.name.clone(), said.map(str::to_owned));
    if let Some(name) = &words.temporary {
        labels.insert(name.clone(), temporary.map(str::to_owned));
    }
    let is_made = matches!(
        state,
        "initializing new cluster"
            | "running custom bootstrap script"
            | "starting after custom bootstrap"
            | "creating replica"
    );
    for (name, value) in &settings.bootstrap_labels {
        labels.insert(name.clone(), is_made.then(|| value.clone()));
    }
    labels
}

/// All of these labels taken away.
pub(crate) fn no_role(settings: &Kubernetes) -> BTreeMap<String, Option<String>> {
    let labels = role_labels(settings, "", false);
    labels.into_keys().map(|name| (name, None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Kubernetes {
        let mut settings = Kubernetes::default();
        settings.role.leader = "master".to_owned();
        settings.role.temporary = Some("tmp".to_owned());
        settings.bootstrap_labels = [("boots".to_owned(), "yes".to_owned())].into();
        settings
    }

    fn said(role: &str, state: &str, leads: bool) -> [Option<String>; 3] {
        let document = json!({"role": role, "state": state}).to_string();
        let mut labels = role_labels(&settings(), &document, leads);
        ["role", "tmp", "boots"].map(|name| labels.remove(name).flatten())
    }

    #[test]
    fn a_pod_says_what_its_member_is() {
        let some = |text: &str| Some(text.to_owned());
        for (role, state, leads, label, temporary, boots) in [
            (
                "primary",
                "running",
                true,
                some("master"),
                some("primary"),
                None,
            ),
            (
                "replica",
                "running",
                true,
                some("master"),
                some("primary"),
                None,
            ),
            (
                "standby_leader",
                "running",
                true,
                some("primary"),
                some("primary"),
                None,
            ),
            (
                "replica",
                "running",
                false,
                some("replica"),
                some("replica"),
                None,
            ),
            ("replica", "starting", false, None, None, None),
            (
                "demoted",
                "running",
                false,
                some("demoted"),
                some("demoted"),
                None,
            ),
            ("primary", "running", false, None, None, None),
            (
                "uninitialized",
                "creating replica",
                false,
                None,
                None,
                some("yes"),
            ),
        ] {
            assert_eq!(
                said(role, state, leads),
                [label, temporary, boots],
                "{role} {state} {leads}"
            );
        }
        assert!(
            no_role(&settings())
                .into_values()
                .all(|label| label.is_none())
        );
    }

    #[test]
    fn the_leaders_endpoints_have_its_address_only() {
        let endpoints = LeaderEndpoints {
            pod_ip: Some("10.0.0.1".into()),
            ports: vec![pgherd_settings::EndpointPort {
                name: Some("postgresql".into()),
                port: 5432,
                protocol: None,
            }],
        };
        let made = subsets(&endpoints, Some("10.0.0.1"), ("ns", "a", ""));
        assert_eq!(
            made.to_string(),
            r#"[{"addresses":[{"ip":"10.0.0.1","targetRef":{"kind":"Pod","namespace":"ns","name":"a"}}],"ports":[{"name":"postgresql","port":5432,"protocol":"TCP"}]}]"#
        );
        assert_eq!(subsets(&endpoints, None, ("ns", "a", "")), json!([]));
    }
}

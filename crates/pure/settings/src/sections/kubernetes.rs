//! `kubernetes`: the DCS in objects of Kubernetes (contract §2.4).

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::Value;

use crate::reader::Reader;
use crate::value;

/// Which objects a cluster has in Kubernetes, and how its API is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// The namespace of Kubernetes that the objects are in.
    pub namespace: String,
    /// The context of the kubeconfig, outside a pod; its current one without.
    pub context: Option<String>,
    /// Certificates the API server is checked against; those of the pod or of the kubeconfig without.
    pub cacert: Option<Utf8PathBuf>,
    /// Labels of every object, and what pods are found by.
    pub labels: BTreeMap<String, String>,
    /// The label with the cluster's name.
    pub scope_label: String,
    /// The label of a pod with its role, and what it says.
    pub role: RoleLabel,
    /// Labels that a pod has while its member is being made.
    pub bootstrap_labels: BTreeMap<String, String>,
    /// Endpoints instead of ConfigMaps; the leader's address is in them.
    pub endpoints: Option<LeaderEndpoints>,
    /// API servers are asked directly, not through their service.
    pub bypass_api_service: bool,
    /// Answers with these codes are asked for again; a reload changes them (contract §2.7).
    pub retriable_http_codes: Vec<u16>,
}

/// The label of a pod with its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleLabel {
    /// Its name.
    pub name: String,
    /// What it says of the leader.
    pub leader: String,
    /// What it says of a standby cluster's leader.
    pub standby_leader: String,
    /// What it says of a replica.
    pub follower: String,
    /// Another label that says `primary` and `replica` whatever is set here, while a change of the first is under way.
    pub temporary: Option<String>,
}

/// What the Endpoints of the leader say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderEndpoints {
    /// The address of this pod; without it the address is not known and none is written.
    pub pod_ip: Option<String>,
    /// Its ports.
    pub ports: Vec<EndpointPort>,
}

/// A port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// Its name; needed where there are several.
    pub name: Option<String>,
    /// Its number.
    pub port: u16,
    /// `TCP` without it.
    pub protocol: Option<String>,
}

impl Default for Kubernetes {
    /// What counts for a section that gives its labels only.
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            context: None,
            cacert: None,
            labels: BTreeMap::new(),
            scope_label: "cluster-name".to_owned(),
            role: RoleLabel {
                name: "role".to_owned(),
                leader: "primary".to_owned(),
                standby_leader: "primary".to_owned(),
                follower: "replica".to_owned(),
                temporary: None,
            },
            bootstrap_labels: BTreeMap::new(),
            endpoints: None,
            bypass_api_service: false,
            retriable_http_codes: Vec::new(),
        }
    }
}

impl Kubernetes {
    /// Reads section `kubernetes`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let labels = reader.texts("kubernetes.labels");
        if labels.is_empty() {
            let problem = "is missing; give the labels by which the objects of this cluster are found, such as \
                           `{application: patroni}`";
            reader.fault("kubernetes.labels", problem);
        }
        let endpoints = reader
            .flag("kubernetes.use_endpoints")
            .then(|| LeaderEndpoints {
                pod_ip: reader.given("kubernetes.pod_ip"),
                ports: ports(reader),
            });
        if endpoints.as_ref().is_some_and(|one| one.pod_ip.is_none()) {
            reader.warn(
                "kubernetes.pod_ip",
                "is not given: while this member leads, the Endpoints of the leader have no address",
            );
        }
        Self {
            namespace: reader.text("kubernetes.namespace"),
            context: reader.given("kubernetes.context"),
            cacert: reader.path("kubernetes.cacert"),
            labels,
            scope_label: reader.text("kubernetes.scope_label"),
            role: RoleLabel {
                name: reader.text("kubernetes.role_label"),
                leader: reader.text("kubernetes.leader_label_value"),
                standby_leader: reader.text("kubernetes.standby_leader_label_value"),
                follower: reader.text("kubernetes.follower_label_value"),
                temporary: reader.given("kubernetes.tmp_role_label"),
            },
            bootstrap_labels: reader.texts("kubernetes.bootstrap_labels"),
            endpoints,
            bypass_api_service: reader.flag("kubernetes.bypass_api_service"),
            retriable_http_codes: codes(reader),
        }
    }
}

fn codes(reader: &mut Reader<'_>) -> Vec<u16> {
    const KEY: &str = "kubernetes.retriable_http_codes";
    let mut codes = Vec::new();
    for text in reader.list(KEY) {
        match text.trim().parse() {
            Ok(code @ 400..=599) => codes.push(code),
            Ok(_) | Err(_) => reader.warn(KEY, format!("`{text}` is no code of an error")),
        }
    }
    codes
}

fn ports(reader: &mut Reader<'_>) -> Vec<EndpointPort> {
    const KEY: &str = "kubernetes.ports";
    let usual = || EndpointPort {
        name: None,
        port: 5432,
        protocol: None,
    };
    let Some(given) = reader.raw(KEY).cloned() else {
        return vec![usual()];
    };
    let items = given.as_array().cloned().unwrap_or_default();
    let read: Option<Vec<EndpointPort>> = items.iter().map(port).collect();
    match read {
        Some(ports) if !ports.is_empty() => ports,
        Some(_) | None => {
            let problem = "is not a list of ports, such as `[{name: postgresql, port: 5432}]`";
            reader.fault(KEY, problem);
            vec![usual()]
        }
    }
}

fn port(item: &Value) -> Option<EndpointPort> {
    let text = |key| item.get(key).and_then(value::scalar);
    Some(EndpointPort {
        name: text("name").filter(|name| !name.is_empty()),
        port: text("port")?.parse().ok()?,
        protocol: text("protocol"),
    })
}

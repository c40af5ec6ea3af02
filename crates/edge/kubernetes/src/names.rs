//! What the objects of a cluster are called, and which labels they are found by (contract §4.9).

use std::collections::BTreeMap;

use pgherd_ports::Key;
use pgherd_settings::Kubernetes;

/// The objects that hold a cluster's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Leader,
    Config,
    Failover,
    Sync,
}

impl Thing {
    /// The object that holds a key; `None`: the member's pod.
    pub(crate) const fn of(key: &Key) -> Option<Self> {
        match key {
            Key::Leader | Key::Status | Key::Failsafe => Some(Self::Leader),
            Key::Config | Key::History | Key::Initialize | Key::Dr => Some(Self::Config),
            Key::Failover => Some(Self::Failover),
            Key::Sync => Some(Self::Sync),
            Key::Member(_) => None,
        }
    }
}

/// The label with the group of a Citus cluster.
pub(crate) const GROUP: &str = "citus-group";

/// Names and labels.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    base: String,
    pub(crate) namespace: String,
    pub(crate) group: Option<String>,
    with_endpoints: bool,
    /// Of every object.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Names {
    pub(crate) fn new(settings: &Kubernetes, scope: &str) -> Self {
        let (scope, group) = match scope.split_once('/') {
            Some((scope, group)) => (scope, Some(group.to_owned())),
            None => (scope, None),
        };
        let mut labels = settings.labels.clone();
        labels.insert(settings.scope_label.clone(), scope.to_owned());
        let mut base = scope.to_owned();
        if let Some(group) = &group {
            labels.insert(GROUP.to_owned(), group.clone());
            base = format!("{base}-{group}");
        }
        Self {
            base,
            namespace: settings.namespace.clone(),
            group,
            with_endpoints: settings.endpoints.is_some(),
            labels,
        }
    }

    /// The kind of the objects, as in URLs.
    pub(crate) const fn things(&self) -> &'static str {
        match self.with_endpoints {
            true => "endpoints",
            false => "configmaps",
        }
    }

    /// An object's name.
    pub(crate) fn name(&self, thing: Thing) -> String {
        let base = &self.base;
        match thing {
            Thing::Leader if self.with_endpoints => base.clone(),
            Thing::Leader => format!("{base}-leader"),
            Thing::Config => format!("{base}-config"),
            Thing::Failover => format!("{base}-failover"),
            Thing::Sync => format!("{base}-sync"),
        }
    }

    /// Where objects of a kind are, or one of them.
    pub(crate) fn path(&self, kind: &str, name: Option<&str>) -> String {
        let namespace = encoded(&self.namespace);
        match name {
            Some(name) => format!(
                "/api/v1/namespaces/{namespace}/{kind}/{name}",
                name = encoded(name)
            ),
            None => format!("/api/v1/namespaces/{namespace}/{kind}"),
        }
    }

    /// What the objects of the cluster are found by, as a parameter.
    pub(crate) fn selector(&self) -> String {
        let pairs = self.labels.iter();
        let pairs: Vec<String> = pairs.map(|(name, text)| format!("{name}={text}")).collect();
        format!("labelSelector={}", encoded(&pairs.join(",")))
    }

    /// Whether an object with these labels is of this group, or of a cluster without groups.
    pub(crate) fn is_of_group(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(GROUP) == self.group.as_ref()
    }
}

/// A part of a URL with everything encoded that is not plain.
fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_called_as_patroni_calls_them() {
        let mut settings = Kubernetes {
            labels: [("application".to_owned(), "patroni".to_owned())].into(),
            ..Kubernetes::default()
        };
        let names = Names::new(&settings, "demo");
        assert_eq!(names.name(Thing::Leader), "demo-leader");
        assert_eq!(
            names.path(names.things(), Some(&names.name(Thing::Config))),
            "/api/v1/namespaces/default/configmaps/demo-config"
        );
        assert_eq!(
            names.selector(),
            "labelSelector=application%3Dpatroni%2Ccluster-name%3Ddemo"
        );
        settings.endpoints = Some(pgherd_settings::LeaderEndpoints {
            pod_ip: None,
            ports: Vec::new(),
        });
        let names = Names::new(&settings, "demo/1");
        assert_eq!(
            (names.things(), names.name(Thing::Leader).as_str()),
            ("endpoints", "demo-1")
        );
        assert_eq!(names.labels[GROUP], "1");
        assert!(names.is_of_group(&names.labels) && !names.is_of_group(&settings.labels));
    }
}

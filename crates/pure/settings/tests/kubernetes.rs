//! Section `kubernetes`: what a pod's variables make of it, and what is told where it is wrong.

#[cfg(test)]
mod support;

use std::collections::BTreeMap;

use pgherd_settings::*;
use support::GOOD;

fn read(section: &str, env: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let text = GOOD.replace("etcd3: {hosts: [e1]}\n", section);
    let env = env
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let env: BTreeMap<String, String> = env.collect();
    load(&[("node.yml".to_owned(), text)], &env)
}

#[expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a section that does not load fails its test"
)]
fn kubernetes(section: &str, env: &[(&str, &str)]) -> Kubernetes {
    let loaded = read(section, env).unwrap();
    assert_eq!(loaded.warnings, []);
    match loaded.local.effective(None).0.fixed.store {
        Store::Kubernetes(kubernetes) => kubernetes,
        other => panic!("the DCS is not Kubernetes: {other:?}"),
    }
}

#[test]
fn labels_are_enough_and_variables_make_the_whole_section() {
    let labels: BTreeMap<String, String> = [("application".into(), "spilo".into())].into();
    let least = kubernetes("kubernetes: {labels: {application: spilo}}\n", &[]);
    let expected = Kubernetes {
        labels: labels.clone(),
        ..Kubernetes::default()
    };
    assert_eq!(least, expected);
    let of_pod = kubernetes(
        "",
        &[
            ("PATRONI_KUBERNETES_LABELS", "{application: spilo}"),
            ("PATRONI_KUBERNETES_NAMESPACE", "databases"),
            ("PATRONI_KUBERNETES_SCOPE_LABEL", "version"),
            ("PATRONI_KUBERNETES_ROLE_LABEL", "spilo-role"),
            ("PATRONI_KUBERNETES_LEADER_LABEL_VALUE", "master"),
            ("PATRONI_KUBERNETES_STANDBY_LEADER_LABEL_VALUE", "master"),
            ("PATRONI_KUBERNETES_USE_ENDPOINTS", "true"),
            ("PATRONI_KUBERNETES_POD_IP", "10.0.0.7"),
            (
                "PATRONI_KUBERNETES_PORTS",
                r#"{"name": "postgresql", "port": 5432}"#,
            ),
            ("PATRONI_KUBERNETES_BYPASS_API_SERVICE", "true"),
            ("PATRONI_KUBERNETES_RETRIABLE_HTTP_CODES", "418, 599"),
            ("PATRONI_KUBERNETES_BOOTSTRAP_LABELS", "is-made: 'yes'"),
        ],
    );
    let mut expected = Kubernetes {
        namespace: "databases".into(),
        labels,
        scope_label: "version".into(),
        bootstrap_labels: [("is-made".into(), "yes".into())].into(),
        bypass_api_service: true,
        retriable_http_codes: vec![418, 599],
        endpoints: Some(LeaderEndpoints {
            pod_ip: Some("10.0.0.7".into()),
            ports: vec![EndpointPort {
                name: Some("postgresql".into()),
                port: 5432,
                protocol: None,
            }],
        }),
        ..Kubernetes::default()
    };
    expected.role.name = "spilo-role".into();
    expected.role.leader = "master".into();
    expected.role.standby_leader = "master".into();
    assert_eq!(of_pod, expected);
}

#[test]
fn what_is_missing_or_wrong_is_told() {
    let faults = read("kubernetes: {namespace: x}\n", &[]).unwrap_err();
    let said = faults.to_string();
    assert!(said.contains("kubernetes.labels: is missing"), "{said}");
    let section =
        "kubernetes: {labels: {a: b}, use_endpoints: on, pod_ip: 10.0.0.7, ports: [5432]}\n";
    let said = read(section, &[]).unwrap_err().to_string();
    assert!(
        said.contains("kubernetes.ports: is not a list of ports"),
        "{said}"
    );
    let section = "kubernetes: {labels: {a: b}, use_endpoints: on, retriable_http_codes: [200]}\n";
    let warnings = read(section, &[]).map(|loaded| loaded.warnings);
    let warnings: Vec<String> = warnings
        .into_iter()
        .flatten()
        .map(|one| one.to_string())
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings.concat().contains("`200` is no code of an error"),
        "{warnings:?}"
    );
    assert!(
        warnings
            .concat()
            .contains("kubernetes.pod_ip: is not given"),
        "{warnings:?}"
    );
}

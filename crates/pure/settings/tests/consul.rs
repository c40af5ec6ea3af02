//! Section `consul`: where the agent is, and which section counts beside others.

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
fn consul(section: &str, env: &[(&str, &str)]) -> Consul {
    let loaded = read(section, env).unwrap();
    assert_eq!(loaded.warnings, []);
    match loaded.local.effective(None).0.fixed.store {
        Store::Consul(consul) => consul,
        other => panic!("the DCS is not Consul: {other:?}"),
    }
}

#[test]
fn the_agent_is_found_where_patroni_finds_it() {
    for (section, url) in [
        ("{host: c1}", "http://c1:8500"),
        ("{host: 'c1:1'}", "http://c1:1"),
        ("{host: 'c1:1', port: 2}", "http://c1:2"),
        ("{host: '[::1]', scheme: https}", "https://[::1]:8500"),
        ("{url: 'https://c2:3', host: c1, port: 2}", "https://c2:3"),
        ("{url: 'https://c2'}", "https://c2:8500"),
        ("{register_service: on}", "http://127.0.0.1:8500"),
    ] {
        assert_eq!(consul(&format!("consul: {section}\n"), &[]).url, url);
    }
    let faults = read("consul: {host: 'c1:x'}\n", &[])
        .unwrap_err()
        .to_string();
    assert!(
        faults.contains("consul.host: `x` is not a port"),
        "{faults}"
    );
    let faults = read("consul: {url: 'ftp://c1'}\n", &[]).unwrap_err();
    assert!(
        faults
            .to_string()
            .contains("consul.url: `ftp` is no scheme")
    );
}

#[test]
fn everything_that_is_said_is_taken() {
    let section = "consul:\n  host: c1\n  token: secret\n  dc: east\n  verify: off\n  cacert: /ca\n  cert: /cert\n  \
                   checks: [serfHealth]\n  consistency: Stale\n  register_service: true\n  service_tags: [a, b]\n  \
                   service_check_interval: 10\n";
    let read = consul(section, &[]);
    let access = ConsulAccess {
        token: Some(Secret::new("secret")),
        dc: Some("east".to_owned()),
        consistency: Consistency::Stale,
        register_service: true,
        service_tags: vec!["a".to_owned(), "b".to_owned()],
    };
    assert_eq!(read.access, access);
    assert_eq!(read.checks, ["serfHealth"]);
    assert_eq!(read.service_check_interval, "10s");
    let path = |path: &Option<camino::Utf8PathBuf>| path.as_ref().map(ToString::to_string);
    assert!(!read.tls.verify && read.tls.key.is_none());
    assert_eq!(path(&read.tls.cacert).as_deref(), Some("/ca"));
    assert_eq!(path(&read.tls.cert).as_deref(), Some("/cert"));
    assert!(!format!("{read:?}").contains("secret"));
}

#[test]
fn variables_make_the_section_or_go_over_it() {
    let variables = [
        ("PATRONI_CONSUL_HOST", "c2:7"),
        ("PATRONI_CONSUL_SCHEME", "https"),
        ("PATRONI_CONSUL_TOKEN", "t"),
        ("PATRONI_CONSUL_SERVICE_TAGS", "a, b"),
        ("PATRONI_CONSUL_REGISTER_SERVICE", "on"),
    ];
    for section in ["", "consul: {host: c1}\n"] {
        let read = consul(section, &variables);
        assert_eq!(read.url, "https://c2:7");
        assert_eq!(read.access.service_tags, ["a", "b"]);
        assert!(read.access.register_service && read.access.token.is_some());
    }
}

#[test]
fn a_file_says_which_dcs_it_is_and_two_are_one_too_many() {
    let env = [("PATRONI_CONSUL_HOST", "left-behind")];
    let loaded = read("etcd3: {hosts: [e1]}\n", &env).unwrap();
    let told: Vec<String> = loaded.warnings.iter().map(Fault::to_string).collect();
    assert_eq!(
        told,
        ["PATRONI_CONSUL_HOST  consul.host: is left alone; the DCS is etcd"]
    );
    let env = [("PATRONI_ETCD3_HOSTS", "e1:2379")];
    let loaded = read("consul: {host: c1}\n", &env).unwrap();
    assert_eq!(loaded.local.effective(None).0.fixed.store.name(), "consul");
    let both = [("PATRONI_ETCD3_HOSTS", "e1"), ("PATRONI_CONSUL_HOST", "c1")];
    for (section, env) in [
        ("etcd3: {hosts: [e1]}\nconsul: {host: c1}\n", &both[..0]),
        ("", &both[..]),
    ] {
        let faults = read(section, env).unwrap_err().to_string();
        assert!(faults.contains("consul: stands beside `etcd3`"), "{faults}");
    }
}

//! Keys of the DCS sections.

use super::Kind::{Any, Choice, Flag, List, Secret, Section, Text, Whole};
use super::{Key, local};

const PROTOCOLS: &[&str] = &["http", "https"];
const CONSISTENCIES: &[&str] = &["consistent", "default", "stale"];

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    local("etcd3", Section, "", "etcd, the DCS"),
    local("etcd3.hosts", List, "", "endpoints, `host:port` or URL; a list or a text with commas; one of `hosts`, `host`, `url`, `proxy`, `srv` is required"),
    local("etcd3.host", Text, "", "the only endpoint, `host:port`"),
    local("etcd3.url", Text, "", "the only endpoint as a URL, which may hold user and password"),
    local("etcd3.proxy", Text, "", "URL of a proxy in front of etcd, used instead of the other endpoints; turns `use_proxies` on"),
    local("etcd3.port", Whole(1, 65535), "2379", "port of endpoints that give none"),
    local("etcd3.protocol", Choice(PROTOCOLS), "http", "scheme of endpoints that give none"),
    local("etcd3.use_proxies", Flag, "off", "the endpoints are proxies: do not ask them for the member list"),
    local("etcd3.username", Text, "", "user of etcd's own authentication"),
    local("etcd3.password", Secret, "", "its password"),
    local("etcd3.cacert", Text, "", "certificates the servers are checked against"),
    local("etcd3.cert", Text, "", "the client's certificate"),
    local("etcd3.key", Text, "", "the client's key"),
    local("etcd3.srv", Text, "", "domain whose SRV records name the endpoints: `_etcd-client-ssl`, `_etcd-client`, `_etcd-ssl`, `_etcd`, `_etcd-server-ssl`, `_etcd-server`, the first that has any"),
    local("etcd3.srv_suffix", Text, "", "appended to the names of these services, behind a `-`"),
    local("etcd3.discovery_srv", Text, "", "old name of `srv`"),
    local("etcd3.srv_domain", Text, "", "old name of `srv`"),

    local("etcd", Section, "", "etcd under its old name; the v3 API is used all the same"),
    local("etcd.hosts", List, "", "as `etcd3.hosts`"),
    local("etcd.host", Text, "", "as `etcd3.host`"),
    local("etcd.url", Text, "", "as `etcd3.url`"),
    local("etcd.proxy", Text, "", "as `etcd3.proxy`"),
    local("etcd.port", Whole(1, 65535), "2379", "as `etcd3.port`"),
    local("etcd.protocol", Choice(PROTOCOLS), "http", "as `etcd3.protocol`"),
    local("etcd.use_proxies", Flag, "off", "as `etcd3.use_proxies`"),
    local("etcd.username", Text, "", "as `etcd3.username`"),
    local("etcd.password", Secret, "", "as `etcd3.password`"),
    local("etcd.cacert", Text, "", "as `etcd3.cacert`"),
    local("etcd.cert", Text, "", "as `etcd3.cert`"),
    local("etcd.key", Text, "", "as `etcd3.key`"),
    local("etcd.srv", Text, "", "as `etcd3.srv`"),
    local("etcd.srv_suffix", Text, "", "as `etcd3.srv_suffix`"),
    local("etcd.discovery_srv", Text, "", "as `etcd3.discovery_srv`"),
    local("etcd.srv_domain", Text, "", "as `etcd3.srv_domain`"),

    local("consul", Section, "", "Consul, the DCS"),
    local("consul.host", Text, "127.0.0.1", "the agent, `host` or `host:port`"),
    local("consul.url", Text, "", "the agent as a URL; goes before `host`, `port` and `scheme`"),
    local("consul.port", Whole(1, 65535), "8500", "its port; goes before one in `host`"),
    local("consul.scheme", Choice(PROTOCOLS), "http", "`https` for TLS"),
    local("consul.token", Secret, "", "token of Consul's access control"),
    local("consul.verify", Flag, "on", "the agent's certificate is checked"),
    local("consul.cacert", Text, "", "certificates the agent is checked against"),
    local("consul.cert", Text, "", "the client's certificate"),
    local("consul.key", Text, "", "the client's key"),
    local("consul.dc", Text, "", "the datacenter; the agent's own without"),
    local("consul.checks", List, "", "health checks that end the member's session; Consul then keeps the leader key back for ttl"),
    local("consul.consistency", Choice(CONSISTENCIES), "consistent", "how the watch reads; what decisions depend on is always read consistently"),
    local("consul.register_service", Flag, "off", "the member is a service in Consul's catalog, tagged with its role"),
    local("consul.service_tags", List, "", "more tags of that service"),
    local("consul.service_check_interval", Text, "5s", "how often Consul asks the REST API whether the service has its role"),
    local("consul.service_check_tls_server_name", Text, "", "the name in the REST API's certificate, where Consul is to expect another than the address"),

    local("zookeeper", Any, "", "another DCS; not supported by this version, use `etcd3` or `consul`").accepted(),
    local("exhibitor", Any, "", "another DCS; not supported by this version, use `etcd3` or `consul`").accepted(),
    local("kubernetes", Any, "", "another DCS; not supported by this version, use `etcd3` or `consul`").accepted(),
    local("raft", Any, "", "another DCS; not supported by this version, use `etcd3` or `consul`").accepted(),
];

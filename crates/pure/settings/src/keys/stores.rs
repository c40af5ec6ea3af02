//! Keys of the DCS sections.

use super::Kind::{Any, Choice, Flag, List, Mapping, Seconds, Secret, Section, Text, Texts, Whole};
use super::{Key, local};

const PROTOCOLS: &[&str] = &["http", "https"];

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

    local("zookeeper", Section, "", "ZooKeeper, the DCS"),
    local("zookeeper.hosts", List, "", "its servers, `host:port`; a list or a text with commas; required; a chroot may stand behind the last, as in `h1:2181,h2:2181/chroot`"),
    local("zookeeper.use_ssl", Flag, "off", "connect with TLS; the chain of the servers' certificates is checked, their names are not"),
    local("zookeeper.cacert", Text, "", "certificates the servers are checked against; the host's own store without it"),
    local("zookeeper.cert", Text, "", "the client's certificate"),
    local("zookeeper.key", Text, "", "the client's key"),
    local("zookeeper.key_password", Secret, "", "its passphrase"),
    local("zookeeper.verify", Flag, "on", "check the servers' certificates"),
    local("zookeeper.set_acls", Mapping, "", "who may do what with nodes that are made: certificate subjects, each with a list of `CREATE`, `READ`, `WRITE`, `DELETE`, `ADMIN` or `ALL`; without it everybody may do everything"),
    local("zookeeper.auth_data", Texts, "", "logins: schemes, such as `digest`, each with its credential"),
    local("zookeeper.exhibitor", Section, "", "as section `exhibitor`"),
    local("zookeeper.exhibitor.hosts", List, "", "as `exhibitor.hosts`"),
    local("zookeeper.exhibitor.port", Whole(1, 65535), "8181", "as `exhibitor.port`"),
    local("zookeeper.exhibitor.poll_interval", Seconds(1), "300", "as `exhibitor.poll_interval`"),

    local("exhibitor", Section, "", "ZooKeeper, the DCS, whose servers Exhibitor tells"),
    local("exhibitor.hosts", List, "", "hosts of Exhibitor; a list or a text with commas; required"),
    local("exhibitor.port", Whole(1, 65535), "8181", "port of its HTTP API"),
    local("exhibitor.poll_interval", Seconds(1), "300", "how often it is asked"),

    local("consul", Any, "", "another DCS; not supported by this version, use `etcd3` or `zookeeper`").accepted(),
    local("kubernetes", Any, "", "another DCS; not supported by this version, use `etcd3` or `zookeeper`").accepted(),
    local("raft", Any, "", "another DCS; not supported by this version, use `etcd3` or `zookeeper`").accepted(),
];

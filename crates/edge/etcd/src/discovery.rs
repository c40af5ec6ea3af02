//! Endpoints found through DNS: SRV records of a domain (contract §2.4).
//!
//! Six names are asked in a fixed order, and the first that has records counts. Records of clients name endpoints;
//! records of servers name members, each of which can be asked for the endpoints of all.

use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use pgherd_settings::{Discovery, EtcdTls};
use serde_json::Value;
use tokio::time::sleep;

use crate::connect::Connect;
use crate::pool::Pool;
use crate::tls::http_client;

/// The services, in the order asked.
const SERVICES: [&str; 6] = [
    "_etcd-client-ssl",
    "_etcd-client",
    "_etcd-ssl",
    "_etcd",
    "_etcd-server-ssl",
    "_etcd-server",
];
/// While nothing is found it is looked for this often.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a member may take to name the endpoints.
const PATIENCE: Duration = Duration::from_secs(3);

/// Finds out what DNS and members say.
#[async_trait]
pub(crate) trait Lookup: Send + Sync {
    /// Hosts and ports of a name, best first; none when it has no records.
    async fn records(&self, name: &str) -> Vec<(String, u16)>;

    /// What the member at `url` says about all members.
    async fn members(&self, url: &str) -> Result<Value, String>;
}

/// Looks now, and again every ten `ttl`, and tells `pool` what is found. For ever.
pub async fn refresh<C: Connect>(
    pool: &Pool<C>,
    tls: &EtcdTls,
    discovery: &Discovery,
    ttl: impl Fn() -> Duration + Send,
) {
    let lookup = match System::new(tls) {
        Ok(lookup) => lookup,
        Err(why) => return tracing::error!("etcd can not be looked for in DNS: {why}"),
    };
    loop {
        let found = endpoints(&lookup, discovery).await;
        if found.is_empty() {
            tracing::warn!("Can not resolve SRV for {}", discovery.domain);
            sleep(PAUSE).await;
        } else {
            pool.configure(&found);
            sleep(ttl() * 10).await;
        }
    }
}

/// The endpoints that the first name with records leads to.
pub(crate) async fn endpoints(lookup: &impl Lookup, discovery: &Discovery) -> Vec<String> {
    for service in SERVICES {
        let suffix = discovery.suffix.as_deref();
        let suffix = suffix.map_or(String::new(), |suffix| format!("-{suffix}"));
        let name = format!("{service}{suffix}._tcp.{}", discovery.domain);
        let scheme = if service.ends_with("-ssl") {
            "https"
        } else {
            "http"
        };
        let records = lookup.records(&name).await;
        let urls = records
            .into_iter()
            .map(|(host, port)| format!("{scheme}://{host}:{port}"));
        let found = if service.contains("-server") {
            from_members(lookup, urls, scheme).await
        } else {
            urls.collect()
        };
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// The endpoints that the first member which answers names; only those of the same scheme, so that nobody who
/// answers in its place moves us to connections in the clear.
async fn from_members(
    lookup: &impl Lookup,
    urls: impl Iterator<Item = String>,
    scheme: &str,
) -> Vec<String> {
    for url in urls {
        let url = format!("{url}/members");
        let said = match lookup.members(&url).await {
            Ok(said) => said,
            Err(why) => {
                tracing::warn!("GET {url}: {why}");
                continue;
            }
        };
        let members = said.as_array().into_iter().flatten();
        let clients = members.filter_map(|member| member.get("clientURLs")?.as_array());
        let found: Vec<String> = clients
            .flatten()
            .filter_map(Value::as_str)
            .filter(|url| url.split_once("://").is_some_and(|(of, _)| of == scheme))
            .map(|url| url.trim_end_matches('/').to_owned())
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// DNS as the host is set up for it, and members over HTTP.
struct System {
    dns: TokioResolver,
    http: reqwest::Client,
}

impl System {
    fn new(tls: &EtcdTls) -> Result<Self, String> {
        let dns = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let dns = dns.map_err(|error| format!("read how DNS is set up: {error}"))?;
        let http = http_client(tls, PATIENCE)?;
        Ok(Self { dns, http })
    }
}

#[async_trait]
impl Lookup for System {
    async fn records(&self, name: &str) -> Vec<(String, u16)> {
        records(&self.dns, name).await
    }

    async fn members(&self, url: &str) -> Result<Value, String> {
        let text = async {
            let answer = self.http.get(url).send().await?.error_for_status()?;
            answer.text().await
        };
        let text = text.await.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }
}

async fn records(dns: &TokioResolver, name: &str) -> Vec<(String, u16)> {
    // With the dot at its end the host's search list is not tried.
    let found = match dns.srv_lookup(format!("{name}.")).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, name, "look SRV records up");
            return Vec::new();
        }
    };
    let mut found: Vec<_> = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv),
            _ => None,
        })
        .collect();
    found.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
    let host = |name: String| name.trim_end_matches('.').to_owned();
    found
        .into_iter()
        .map(|srv| (host(srv.target.to_utf8()), srv.port))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use hickory_resolver::config::{
        ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts,
    };
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::SRV;
    use hickory_resolver::proto::rr::{Name, Record};

    use super::*;

    #[derive(Default)]
    struct Book {
        records: BTreeMap<&'static str, Vec<(&'static str, u16)>>,
        members: BTreeMap<&'static str, &'static str>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Lookup for Book {
        async fn records(&self, name: &str) -> Vec<(String, u16)> {
            self.asked.lock().unwrap().push(name.to_owned());
            let found = self.records.get(name).into_iter().flatten();
            found
                .map(|(host, port)| ((*host).to_owned(), *port))
                .collect()
        }

        async fn members(&self, url: &str) -> Result<Value, String> {
            let text = self.members.get(url).ok_or("nobody there")?;
            serde_json::from_str(text).map_err(|error| error.to_string())
        }
    }

    fn domain(suffix: Option<&str>) -> Discovery {
        Discovery {
            domain: "example.org".to_owned(),
            suffix: suffix.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn names_are_asked_in_order_until_one_has_records() {
        let mut book = Book::default();
        book.records
            .insert("_etcd._tcp.example.org", vec![("e1", 2379), ("e2", 2379)]);
        let found = endpoints(&book, &domain(None)).await;
        assert_eq!(found, ["http://e1:2379", "http://e2:2379"]);
        let asked = book.asked.into_inner().unwrap();
        assert_eq!(asked.len(), 4, "{asked:?}");
        assert_eq!(asked[0], "_etcd-client-ssl._tcp.example.org");
    }

    #[tokio::test]
    async fn a_suffix_belongs_to_the_service() {
        let mut book = Book::default();
        book.records
            .insert("_etcd-client-ssl-pg._tcp.example.org", vec![("e1", 1)]);
        let found = endpoints(&book, &domain(Some("pg"))).await;
        assert_eq!(found, ["https://e1:1"]);
    }

    #[tokio::test]
    async fn members_are_asked_where_dns_knows_only_servers() {
        let mut book = Book::default();
        book.records.insert(
            "_etcd-server-ssl._tcp.example.org",
            vec![("e1", 2380), ("e2", 2380)],
        );
        book.members.insert(
            "https://e2:2380/members",
            r#"[{"clientURLs": ["https://e1:2379", "http://e1:2381"]}, {"clientURLs": ["https://e2:2379/"]}]"#,
        );
        let found = endpoints(&book, &domain(None)).await;
        assert_eq!(found, ["https://e1:2379", "https://e2:2379"]);
    }

    /// Answers one name with two records, and every other with none.
    async fn serve(socket: tokio::net::UdpSocket) {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let asked = Message::from_vec(&bytes[..length]).unwrap();
            let query = asked.queries[0].clone();
            let name = query.name().clone();
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            answer.metadata.recursion_available = true;
            answer.add_query(query);
            if name.to_utf8() == "_etcd-client._tcp.example.org." {
                for (priority, host) in [(20, "second.example.org."), (10, "first.example.org.")] {
                    let target = Name::from_utf8(host).unwrap();
                    let srv = RData::SRV(SRV::new(priority, 1, 2379, target));
                    answer.add_answer(Record::from_rdata(name.clone(), 60, srv));
                }
            } else {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            socket
                .send_to(&answer.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn records_come_from_dns_best_first() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let server = tokio::spawn(serve(socket));
        let mut connection = ConnectionConfig::udp();
        connection.port = address.port();
        let server_of_names = NameServerConfig::new(address.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server_of_names]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = ResolverOpts::default();
        let dns = builder.build().unwrap();
        let found = records(&dns, "_etcd-client._tcp.example.org").await;
        assert_eq!(
            found,
            [
                ("first.example.org".to_owned(), 2379),
                ("second.example.org".to_owned(), 2379)
            ]
        );
        assert!(records(&dns, "_etcd._tcp.example.org").await.is_empty());
        server.abort();
    }
}

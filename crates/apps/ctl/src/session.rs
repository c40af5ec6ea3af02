//! What every command has at hand: settings, the DCS of a cluster, the members' REST APIs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::ClusterView;
use pgherd_etcd::{Etcd, EtcdOptions};
use pgherd_peers::{Method, Reply, RestClient, SendError, endpoint};
use pgherd_ports::{Dcs, DcsError, Wake};
use pgherd_settings::{ClientSettings, Restapi, ctl_settings};
use serde_json::Value;

use crate::args::ClientArgs;
use crate::failure::Failure;

/// How long an operation on the DCS may take.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct Session {
    settings: ClientSettings,
    rest: RestClient,
    /// A store that tests put in the place of etcd.
    #[cfg(test)]
    store: Option<Arc<dyn Dcs>>,
}

/// One cluster in the DCS.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// Its prefix.
    pub(crate) dcs: Arc<dyn Dcs>,
}

impl Session {
    /// Reads the settings.
    pub(crate) fn open(args: &ClientArgs, env: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let files = files(args, env)?;
        let mut env = env.clone();
        if let Some(url) = &args.dcs_url {
            env.insert("DCS_URL".into(), url.clone());
        }
        if args.group.is_some() {
            return Err(Failure::refused(
                "Citus groups (--group) are not supported by this version",
            ));
        }
        let (mut settings, _warnings) = ctl_settings(&files, &env)?;
        settings.ctl.insecure |= args.insecure;
        let rest = RestClient::of_operator(&settings.ctl, &Restapi::default())?;
        Ok(Self {
            settings,
            rest,
            #[cfg(test)]
            store: None,
        })
    }

    /// A session of a test: its own store, and the cluster meant when none is named.
    #[cfg(test)]
    pub(crate) fn with_store(store: Arc<dyn Dcs>, scope: &str) -> Self {
        let file = format!("scope: {scope}\netcd3: {{hosts: '127.0.0.1:1'}}\n");
        let files = [("test.yml".to_owned(), file)];
        let (settings, _) = ctl_settings(&files, &BTreeMap::new()).unwrap();
        let rest = RestClient::of_operator(&settings.ctl, &Restapi::default()).unwrap();
        Self {
            settings,
            rest,
            store: Some(store),
        }
    }

    /// The cluster meant: the one named, else the one of the settings.
    pub(crate) fn cluster(&self, name: Option<&str>) -> Result<Cluster, Failure> {
        let name = name
            .filter(|name| !name.is_empty())
            .or(self.settings.scope.as_deref());
        let name = name.ok_or_else(|| {
            Failure::refused(
                "no cluster was named; name one, or set `scope` in the configuration file",
            )
        })?;
        Ok(Cluster {
            name: name.to_owned(),
            dcs: self.store_of(name),
        })
    }

    /// The name of the settings, when they have one.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.settings.scope.as_deref()
    }

    /// Asks the member behind `api_url` for something.
    pub(crate) async fn ask(
        &self,
        method: Method,
        api_url: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Reply, SendError> {
        self.rest
            .send(method, &endpoint(api_url, path), body, patience)
            .await
    }

    #[cfg(not(test))]
    fn store_of(&self, scope: &str) -> Arc<dyn Dcs> {
        self.etcd(scope)
    }

    #[cfg(test)]
    fn store_of(&self, scope: &str) -> Arc<dyn Dcs> {
        self.store.clone().unwrap_or_else(|| self.etcd(scope))
    }

    fn etcd(&self, scope: &str) -> Arc<dyn Dcs> {
        let options = EtcdOptions {
            etcd: self.settings.etcd.clone(),
            namespace: self.settings.namespace.clone(),
            scope: scope.to_owned(),
            // a client has no lease
            ttl: Duration::from_secs(30),
            retry_timeout: RETRY_TIMEOUT,
        };
        Arc::new(Etcd::connect(options, None, Wake::new()))
    }
}

impl Cluster {
    /// Reads it.
    pub(crate) async fn load(&self) -> Result<ClusterView, Failure> {
        let failed = |source: DcsError| Failure::Dcs {
            what: "read the cluster from the DCS",
            source,
        };
        self.dcs.load().await.map_err(failed)
    }
}

/// The configuration file: the one named, else the operator's own when there is one.
fn files(
    args: &ClientArgs,
    env: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Failure> {
    let named = args
        .config_file
        .as_deref()
        .or_else(|| env.get("PATRONICTL_CONFIG_FILE").map(String::as_str));
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => match own_file(env) {
            Some(path) => path,
            None => return Ok(Vec::new()),
        },
    };
    let name = path.display().to_string();
    match fs_err::read_to_string(&path) {
        Ok(text) => Ok(vec![(name, text)]),
        Err(_) if named.is_none() => Ok(Vec::new()),
        Err(_) => Err(Failure::refused(format!(
            "Provided config file {name} not existing or no read rights. \
             Check the -c/--config-file parameter"
        ))),
    }
}

/// `patroni/patronictl.yaml` in the operator's configuration folder.
fn own_file(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let get = |name: &str| {
        env.get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = get("XDG_CONFIG_HOME").or_else(|| Some(get("HOME")?.join(".config")))?;
    Some(folder.join("patroni").join("patronictl.yaml"))
}

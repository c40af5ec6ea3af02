//! What every command has at hand: settings, the DCS of a cluster, the members' REST APIs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::ClusterView;
use pgherd_peers::{Method, Reply, RestClient, SendError, endpoint};
use pgherd_ports::{DcsError, OperatorDcs, Wake};
use pgherd_settings::{ClientSettings, Restapi, ctl_settings};
use pgherd_store::{StoreOptions, scope_of_group};
use serde_json::Value;

use crate::args::ClientArgs;
use crate::failure::Failure;
use crate::members::Looked;
use crate::{Program, files};

/// How long an operation on the DCS may take.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct Session {
    settings: ClientSettings,
    rest: RestClient,
    /// The group of a Citus cluster that was named.
    group: Option<u32>,
    /// The group of the configuration; without one it is no Citus cluster.
    own_group: Option<u32>,
    /// Under which name the command was called.
    pub(crate) program: Program,
    /// The environment, for what only some commands need.
    pub(crate) env: BTreeMap<String, String>,
    /// A store that tests put in the place of a real one.
    #[cfg(test)]
    store: Option<Arc<dyn OperatorDcs>>,
}

/// One cluster in the DCS.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// The group of a Citus cluster that is meant.
    pub(crate) group: Option<u32>,
    /// Its prefix.
    pub(crate) dcs: Arc<dyn OperatorDcs>,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Session {
    /// Reads the settings.
    pub(crate) fn open(
        args: &ClientArgs,
        env: &BTreeMap<String, String>,
        program: Program,
    ) -> Result<Self, Failure> {
        let files = files_of(args, env)?;
        let mut env = env.clone();
        if let Some(url) = &args.dcs_url {
            env.insert("DCS_URL".into(), url.clone());
        }
        let (mut settings, _warnings) = ctl_settings(&files, &env)?;
        let own_group = settings.citus.as_ref().map(|citus| citus.group);
        settings.ctl.insecure |= args.insecure;
        let rest = RestClient::of_operator(&settings.ctl, &Restapi::default())?;
        Ok(Self {
            settings,
            rest,
            group: args.group,
            own_group,
            program,
            env,
            #[cfg(test)]
            store: None,
        })
    }

    /// A session of a test: its own store, and the cluster meant when none is named.
    #[cfg(test)]
    pub(crate) fn with_store(store: Arc<dyn OperatorDcs>, scope: &str, args: &ClientArgs) -> Self {
        let file = format!("scope: {scope}\netcd3: {{hosts: '127.0.0.1:1'}}\n");
        let files = [("test.yml".to_owned(), file)];
        let (settings, _) = ctl_settings(&files, &BTreeMap::new()).unwrap();
        let rest = RestClient::of_operator(&settings.ctl, &Restapi::default()).unwrap();
        Self {
            settings,
            rest,
            group: args.group,
            own_group: None,
            program: Program::Patronictl,
            env: BTreeMap::new(),
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
        Ok(self.of_group(name, self.group))
    }

    fn of_group(&self, name: &str, group: Option<u32>) -> Cluster {
        Cluster {
            name: name.to_owned(),
            group,
            // the keys of a group lie one step below those of a cluster (contract §4.1)
            dcs: match group {
                Some(group) => self.store_of(&scope_of_group(name, group)),
                None => self.store_of(name),
            },
        }
    }

    /// The same for a command that in a Citus cluster means the group of the configuration unless another is named
    /// (contract §20).
    pub(crate) fn own_cluster(&self, name: Option<&str>) -> Result<Cluster, Failure> {
        let cluster = self.cluster(name)?;
        Ok(match self.group.or(self.own_group) {
            group if group == cluster.group => cluster,
            group => self.of_group(&cluster.name, group),
        })
    }

    /// The groups of `cluster` where a Citus cluster is configured and none was named; `None` where one is meant.
    pub(crate) async fn groups_of(
        &self,
        cluster: &Cluster,
    ) -> Result<Option<Vec<Cluster>>, Failure> {
        if self.own_group.is_none() || self.group.is_some() {
            return Ok(None);
        }
        let failed = |source: DcsError| Failure::Dcs {
            what: "read the groups of the cluster from the DCS",
            source,
        };
        let groups = cluster.dcs.groups().await.map_err(failed)?;
        let of = |group: u32| self.of_group(&cluster.name, Some(group));
        Ok(Some(groups.into_iter().map(of).collect()))
    }

    /// Reads a cluster for a command about its members: where none is named, those of all groups of a Citus cluster.
    pub(crate) async fn look(&self, name: Option<&str>) -> Result<Looked, Failure> {
        let cluster = self.cluster(name)?;
        let Some(groups) = self.groups_of(&cluster).await? else {
            let view = cluster.load().await?;
            return Ok(Looked::one(cluster, view));
        };
        let mut views = Vec::new();
        for group in groups {
            let view = group.load().await?;
            views.push((group, view));
        }
        Ok(Looked::groups(cluster, views))
    }

    /// A group of `cluster`, as an operator names it when asked.
    pub(crate) fn group_of(&self, name: Option<&str>, group: u32) -> Result<Cluster, Failure> {
        let cluster = self.cluster(name)?;
        Ok(self.of_group(&cluster.name, Some(group)))
    }

    /// Whether a command that is about one group has to be told which.
    pub(crate) fn needs_group(&self) -> bool {
        self.own_group.is_some() && self.group.is_none()
    }

    /// The same for a command that in a Citus cluster must be told the group.
    pub(crate) fn exact_cluster(&self, name: Option<&str>) -> Result<Cluster, Failure> {
        if self.needs_group() {
            return Err(Failure::refused(
                "For Citus clusters the --group must me specified",
            ));
        }
        self.cluster(name)
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
    fn store_of(&self, scope: &str) -> Arc<dyn OperatorDcs> {
        self.open_store(scope)
    }

    #[cfg(test)]
    fn store_of(&self, scope: &str) -> Arc<dyn OperatorDcs> {
        self.store.clone().unwrap_or_else(|| self.open_store(scope))
    }

    fn open_store(&self, scope: &str) -> Arc<dyn OperatorDcs> {
        let options = StoreOptions {
            store: self.settings.store.clone(),
            namespace: self.settings.namespace.clone(),
            scope: scope.to_owned(),
            // a client has no lease
            ttl: Duration::from_secs(30),
            retry_timeout: RETRY_TIMEOUT,
        };
        pgherd_store::open(options, None, Wake::new())
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

/// The configuration: the file or folder named, else the operator's own file when there is one.
fn files_of(
    args: &ClientArgs,
    env: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Failure> {
    let named = args
        .config_file
        .as_deref()
        .or_else(|| env.get("PATRONICTL_CONFIG_FILE").map(String::as_str))
        .filter(|name| !name.is_empty());
    let Some(named) = named else {
        return Ok(own_file(env)
            .and_then(|path| files::read(&path).ok())
            .unwrap_or_default());
    };
    files::read(Path::new(named)).map_err(|why| {
        if fs_err::File::open(named).is_ok() {
            return Failure::refused(why);
        }
        Failure::refused(format!(
            "Provided config file {named} not existing or no read rights. \
             Check the -c/--config-file parameter"
        ))
    })
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

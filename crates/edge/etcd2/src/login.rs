//! How connections are made: certificates, user and password, and what the servers' clocks say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pgherd_etcd::shared::{Connect, Fault, User, connecting, http_builder};
use pgherd_settings::EtcdTls;

use crate::clocks::Clocks;
use crate::http::Client;

/// An idle connection is kept this long.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How connections are made: the same for every endpoint.
pub(crate) struct Login {
    pub(crate) tls: EtcdTls,
    pub(crate) user: Arc<User>,
    pub(crate) ttl: Duration,
    pub(crate) clocks: Arc<Clocks>,
}

impl Connect for Login {
    type Client = Client;

    /// Touches no network: the first request connects.
    async fn connect(&self, url: &str) -> Result<Client, Fault> {
        let builder = http_builder(&self.tls, url.starts_with("https:")).map_err(Fault::silent)?;
        let http = builder
            // Endpoints are reached directly, whatever the environment says of proxies.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connecting(self.ttl))
            .pool_max_idle_per_host(4)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(|error| Fault::silent(error.to_string()))?;
        let (user, clocks) = (Arc::clone(&self.user), Arc::clone(&self.clocks));
        Client::new(http, url, user, clocks).map_err(Fault::silent)
    }

    /// User and password go with every request: there is no login that could be too old.
    fn logs_in(&self) -> bool {
        false
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

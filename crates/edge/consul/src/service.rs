//! The member as a service in Consul's catalog, for clients that look for the primary there (contract §4.6).
//!
//! It follows what the member key says, and what a reload changes. Nothing else waits for it: who can not be registered
//! is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{PgRole, PgState};
use pgherd_ports::DcsError;
use pgherd_settings::{ConsulAccess, HostPort};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::http::encoded;
use crate::options::ConsulOptions;
use crate::pace::Pace;
use crate::store::Store;

/// The longest name that a service has; DNS takes labels of 63, and Consul cuts them itself.
const NAME_MAX: usize = 230;
/// A service whose check fails for so many sessions is taken out of the catalog by Consul.
const SESSIONS_UNTIL_REMOVED: u32 = 10;
/// The pause before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What of the service stays the same, and what was registered last.
#[derive(Debug)]
pub(crate) struct Registration {
    id: String,
    name: String,
    check_interval: String,
    check_tls_server_name: Option<String>,
    /// As Consul knows it, with the token that it was told with; `None`: not through this process.
    registered: Mutex<Option<(Value, ConsulAccess)>>,
}

/// What is to be done about the service.
#[derive(Debug, Clone, PartialEq)]
enum Want {
    /// Register this.
    Service(Value),
    /// Take it away.
    Nothing,
    /// Leave it as it is: PostgreSQL is on its way up or down.
    AsItIs,
}

impl Registration {
    pub(crate) fn new(options: &ConsulOptions, member: &str) -> Self {
        Self {
            id: format!("{}/{member}", options.cluster()),
            name: service_name(options.cluster()),
            check_interval: options.consul.service_check_interval.clone(),
            check_tls_server_name: options.consul.service_check_tls_server_name.clone(),
            registered: Mutex::default(),
        }
    }

    fn want(&self, said: Option<&str>, access: &ConsulAccess, ttl: Duration) -> Want {
        let Some(said) = said.filter(|_| access.register_service) else {
            return Want::Nothing;
        };
        let doc = MemberDoc::parse(said);
        let role = match (doc.state, doc.role) {
            (Some(PgState::Stopped), _) => return Want::Nothing,
            (
                Some(PgState::Running),
                Some(role @ (PgRole::Primary | PgRole::StandbyLeader | PgRole::Replica)),
            ) => role,
            (_, _) => return Want::AsItIs,
        };
        self.service(&doc, role, &access.service_tags, ttl)
            .map_or(Want::AsItIs, Want::Service)
    }

    fn service(
        &self,
        doc: &MemberDoc,
        role: PgRole,
        tags: &[String],
        ttl: Duration,
    ) -> Option<Value> {
        let address = HostPort::parse(authority(&doc.conn_url)?, 5432).ok()?;
        let scheme = doc.api_url.split_once("://")?.0;
        let api = authority(&doc.api_url)?;
        let role_tag = role.text().replace('_', "-");
        let mut tags = tags.to_vec();
        tags.push(role_tag.clone());
        if role == PgRole::Primary {
            // as clients of old look for it
            tags.push("master".to_owned());
        }
        let removed_after = ttl / 2 * SESSIONS_UNTIL_REMOVED;
        let mut check = json!({
            "HTTP": format!("{scheme}://{api}/{role_tag}"),
            "Interval": self.check_interval,
            "DeregisterCriticalServiceAfter": format!("{}s", removed_after.as_secs().max(60)),
        });
        if let (Some(name), Some(check)) = (&self.check_tls_server_name, check.as_object_mut()) {
            check.insert("TLSServerName".to_owned(), name.as_str().into());
        }
        Some(json!({
            "ID": self.id,
            "Name": self.name,
            "Address": address.host,
            "Port": address.port,
            "Tags": tags,
            "EnableTagOverride": true,
            "Check": check,
        }))
    }

    fn registered(&self) -> Option<(Value, ConsulAccess)> {
        let registered = self.registered.lock();
        registered.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, registered: Option<(Value, ConsulAccess)>) {
        let mut now = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *now = registered;
    }
}

/// Keeps the catalog true for ever.
pub(crate) async fn keep(store: Arc<Store>, mut said: watch::Receiver<Option<String>>) {
    let mut changes = store.http.access.changes();
    loop {
        let heard = said.borrow_and_update().clone();
        let access = changes.borrow_and_update().clone();
        let done = store.register(heard.as_deref(), &access).await;
        if let Err(error) = &done {
            tracing::warn!("the service could not be told to Consul's catalog: {error}");
        }
        tokio::select! {
            heard = said.changed() => if heard.is_err() { return },
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep(AGAIN), if done.is_err() => {}
        }
    }
}

impl Store {
    /// Tells the catalog what it does not know yet.
    async fn register(&self, said: Option<&str>, access: &ConsulAccess) -> Result<(), DcsError> {
        let Some(registration) = &self.registration else {
            return Ok(());
        };
        let known = registration.registered();
        match registration.want(said, access, self.sessions.ttl()) {
            Want::AsItIs => Ok(()),
            Want::Nothing => self.deregister().await,
            Want::Service(service) => {
                let wanted = Some((service, access.clone()));
                if known == wanted {
                    return Ok(());
                }
                let service = wanted.as_ref().map(|(service, _)| service.clone());
                self.tell_agent("agent/service/register", service.as_ref(), self.operation())
                    .await?;
                registration.note(wanted);
                Ok(())
            }
        }
    }

    /// Takes the service out of the catalog, if this process brought it there.
    pub(crate) async fn deregister(&self) -> Result<(), DcsError> {
        let Some(registration) = &self.registration else {
            return Ok(());
        };
        if registration.registered().is_none() {
            return Ok(());
        }
        let path = format!("agent/service/deregister/{}", encoded(&registration.id));
        self.tell_agent(&path, None, self.operation()).await?;
        registration.note(None);
        Ok(())
    }

    async fn tell_agent(
        &self,
        path: &str,
        body: Option<&Value>,
        pace: Pace,
    ) -> Result<(), DcsError> {
        self.http
            .ask(pace, |_| async move {
                let answer = self.http.put(path, body.cloned(), pace.again).await?;
                match answer.status {
                    200 | 404 => Ok(()),
                    _ => Err(answer.fault()),
                }
            })
            .await
    }
}

/// `HOST:PORT` of a URL.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next().filter(|rest| !rest.is_empty())
}

/// A service name out of a cluster's: what DNS knows, in lower case.
fn service_name(scope: &str) -> String {
    let mut name = String::with_capacity(scope.len());
    for letter in scope.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' | '0'..='9' | '-' => name.push(letter),
            '.' | '_' | ' ' => name.push('-'),
            other => name.push_str(&format!("u{:04}", u32::from(other))),
        }
    }
    name.chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn registration() -> Registration {
        Registration {
            id: "My.DB/a".into(),
            name: service_name("My.DB"),
            check_interval: "5s".into(),
            check_tls_server_name: None,
            registered: Mutex::default(),
        }
    }

    fn access() -> ConsulAccess {
        ConsulAccess {
            register_service: true,
            service_tags: vec!["db".into()],
            ..ConsulAccess::default()
        }
    }

    fn said(state: &str, role: &str) -> String {
        format!(
            r#"{{"conn_url":"postgres://[::1]:5433/postgres","api_url":"http://h1:8008/patroni","state":"{state}","role":"{role}"}}"#
        )
    }

    #[test]
    fn names_become_what_dns_knows() {
        for (scope, name) in [
            ("demo", "demo"),
            ("My.DB_1 x", "my-db-1-x"),
            ("a/b", "au0047b"),
            ("grün", "gru0252n"),
        ] {
            assert_eq!(service_name(scope), name);
        }
        assert_eq!(service_name(&"x".repeat(300)).len(), NAME_MAX);
    }

    #[test]
    fn the_groups_of_a_citus_cluster_are_one_service() {
        let options = |scope: &str| ConsulOptions {
            consul: pgherd_settings::Consul::default(),
            namespace: "service".into(),
            scope: scope.into(),
            ttl: TTL,
            retry_timeout: TTL,
        };
        for scope in ["demo", "demo/0", "demo/12"] {
            let registration = Registration::new(&options(scope), "a");
            assert_eq!(
                (registration.id.as_str(), registration.name.as_str()),
                ("demo/a", "demo")
            );
        }
    }

    #[test]
    fn a_primary_is_registered_with_its_tags_and_a_check_of_its_role() {
        let want = registration().want(Some(&said("running", "primary")), &access(), TTL);
        let expected = json!({
            "ID": "My.DB/a",
            "Name": "my-db",
            "Address": "::1",
            "Port": 5433,
            "Tags": ["db", "primary", "master"],
            "EnableTagOverride": true,
            "Check": {
                "HTTP": "http://h1:8008/primary",
                "Interval": "5s",
                "DeregisterCriticalServiceAfter": "150s",
            },
        });
        assert_eq!(want, Want::Service(expected));
    }

    #[test]
    fn the_role_is_what_the_check_asks_for() {
        for (role, tag) in [("replica", "replica"), ("standby_leader", "standby-leader")] {
            let Want::Service(service) =
                registration().want(Some(&said("running", role)), &access(), TTL)
            else {
                panic!("{role} is registered");
            };
            assert_eq!(service.pointer("/Tags"), Some(&json!(["db", tag])));
            let check = service.pointer("/Check/HTTP").and_then(Value::as_str);
            assert_eq!(check, Some(format!("http://h1:8008/{tag}").as_str()));
        }
    }

    #[test]
    fn who_stops_or_wants_no_service_is_taken_out_and_who_is_on_the_way_is_left_alone() {
        let want =
            |said: Option<&str>, access: &ConsulAccess| registration().want(said, access, TTL);
        let stopped = said("stopped", "replica");
        assert_eq!(want(Some(&stopped), &access()), Want::Nothing);
        assert_eq!(want(None, &access()), Want::Nothing);
        let running = said("running", "primary");
        let without = ConsulAccess::default();
        assert_eq!(want(Some(&running), &without), Want::Nothing);
        for (state, role) in [("starting", "replica"), ("running", "promoted")] {
            assert_eq!(want(Some(&said(state, role)), &access()), Want::AsItIs);
        }
    }
}

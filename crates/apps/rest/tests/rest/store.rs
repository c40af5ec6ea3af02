//! A store in memory: one view, and conditional writes to `config` and `failover`.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{ClusterView, MemberName, Revision, Versioned};
use pgherd_ports::{Acquisition, Condition, Dcs, DcsError, HandOver, Key, Renewal, Written};

/// The store.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    view: ClusterView,
    revision: Revision,
    mute: bool,
    overtaken: bool,
    writes: Vec<(Key, String)>,
}

impl Store {
    pub fn new(view: ClusterView) -> Self {
        let inner = Inner {
            view,
            revision: 100,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// Changes the view as another client would.
    pub fn change(&self, change: impl FnOnce(&mut ClusterView)) {
        change(&mut self.inner.lock().unwrap().view);
    }

    pub fn view(&self) -> ClusterView {
        self.inner.lock().unwrap().view.clone()
    }

    /// Whether it answers no more.
    pub fn set_mute(&self, mute: bool) {
        self.inner.lock().unwrap().mute = mute;
    }

    /// Lets somebody else write just before every write.
    pub fn set_overtaken(&self, overtaken: bool) {
        self.inner.lock().unwrap().overtaken = overtaken;
    }

    /// What was written.
    pub fn writes(&self) -> Vec<(Key, String)> {
        self.inner.lock().unwrap().writes.clone()
    }
}

fn not_here<T>() -> Result<T, DcsError> {
    Err(DcsError::Answered(
        "the REST server never does this".to_owned(),
    ))
}

#[async_trait]
impl Dcs for Store {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        let inner = self.inner.lock().unwrap();
        if inner.mute {
            return Err(DcsError::Unreachable("mute".to_owned()));
        }
        Ok(inner.view.clone())
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.mute {
            return Err(DcsError::Unreachable("mute".to_owned()));
        }
        inner.revision += 1;
        let revision = inner.revision;
        let found = match key {
            Key::Config => inner.view.config.as_ref().map(|config| config.revision),
            Key::Failover => inner.view.failover_revision,
            _ => return not_here(),
        };
        if when
            .revision
            .is_some_and(|wanted| wanted != found.unwrap_or(0) || inner.overtaken)
        {
            return Ok(Written::Refused);
        }
        if *key == Key::Config {
            let value = serde_json::from_str(value).unwrap();
            inner.view.config = Some(Versioned { value, revision });
        } else {
            let order = FailoverDoc::parse(value);
            inner.view.failover = order.map(|value| Versioned { value, revision });
            inner.view.failover_revision = Some(revision);
        }
        inner.writes.push((key.clone(), value.to_owned()));
        Ok(Written::Done(revision))
    }

    async fn renew(&self) -> Result<Renewal, DcsError> {
        not_here()
    }

    async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        not_here()
    }

    async fn release_leader(&self) -> Result<bool, DcsError> {
        not_here()
    }

    async fn hand_over(&self, _to: &MemberName) -> Result<HandOver, DcsError> {
        not_here()
    }

    async fn delete(&self, _key: &Key, _when: Condition) -> Result<Written, DcsError> {
        not_here()
    }

    fn set_ttl(&self, _ttl: Duration) {}

    async fn leave(&self) -> Result<(), DcsError> {
        not_here()
    }
}

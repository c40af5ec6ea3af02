//! Conditional writes of keys: an object is read, the condition is checked, and the change is one against the version that was
//! read.

use pgherd_domain::Revision;
use pgherd_ports::{Condition, DcsError, Key, Written};

use crate::api::Came;
use crate::body::{self, Annotations};
use crate::documents;
use crate::fault::Fault;
use crate::marks::{MARKS, Mark, Marks};
use crate::names::Thing;
use crate::object::Object;
use crate::pace::Pace;
use crate::reign::changed;
use crate::store::Store;

/// How often an object may turn out to have changed within one attempt.
const ROUNDS_MAX: usize = 4;

/// What is done to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Put(&'a str),
    Delete,
}

impl<'a> Change<'a> {
    const fn value(self) -> Option<&'a str> {
        match self {
            Self::Put(value) => Some(value),
            Self::Delete => None,
        }
    }
}

/// One write, known by its name also when its answer was lost.
#[derive(Debug)]
struct Wish<'a> {
    key: &'a Key,
    thing: Thing,
    change: Change<'a>,
    when: Condition,
    write: String,
    pace: Pace,
}

impl Store {
    /// Writes or deletes a key if `when` holds.
    pub(crate) async fn write(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let pace = self.operation();
        let Some(thing) = Thing::of(key) else {
            return self.write_member(key, change, when, pace).await;
        };
        if *key == Key::Leader {
            return Err(DcsError::Answered(
                "the leader key is not written; it is acquired, released or handed over".to_owned(),
            ));
        }
        let write = self.name_of_write();
        let wish = Wish {
            key,
            thing,
            change,
            when,
            write,
            pace,
        };
        let wish = &wish;
        self.http.ask(pace, |_| self.attempt(wish)).await
    }

    async fn attempt(&self, wish: &Wish<'_>) -> Result<Written, Fault> {
        for _ in 0..ROUNDS_MAX {
            if let Some(written) = self.round(wish).await? {
                return Ok(written);
            }
        }
        Err(changed(&self.names.name(wish.thing)))
    }

    /// `None`: the object has changed meanwhile.
    async fn round(&self, wish: &Wish<'_>) -> Result<Option<Written>, Fault> {
        let Wish { key, thing, .. } = *wish;
        // First what is to be changed, then who leads: see `reign`.
        let object = self.thing(thing, wish.pace).await?;
        let marks = object.as_ref().map(Marks::read).unwrap_or_default();
        let mark = object.as_ref().and_then(|object| marks.of(key, object));
        if let Some(mark) = mark.filter(|mark| mark.write == wish.write) {
            // An attempt of ours whose answer was lost.
            return Ok(Some(Written::Done(mark.revision)));
        }
        if wish.when.leading && !self.i_lead(thing, object.as_ref(), wish.pace).await? {
            return Ok(Some(Written::Refused));
        }
        let revision = self
            .current(key, object.as_ref())
            .map_or(0, |one| one.revision);
        if revision == 0 && wish.change.value().is_none() {
            // Deleting what is not there is done at once.
            return Ok(Some(Written::Done(0)));
        }
        if wish.when.revision.is_some_and(|wanted| wanted != revision) {
            return Ok(Some(Written::Refused));
        }
        let (annotations, revision) = self.annotations(wish, object.as_ref(), marks);
        let came = self
            .change(thing, object.as_ref(), &annotations, None, wish.pace)
            .await?;
        match came {
            Came::Done(now) => {
                if thing == Thing::Leader {
                    self.keep_leader(Some(now));
                }
                if thing == Thing::Config {
                    self.ensure_service(wish.pace).await;
                }
                Ok(Some(Written::Done(revision)))
            }
            Came::Conflict | Came::Missing => Ok(None),
        }
    }

    /// Whether I lead, asked behind the read of the object that is to be changed.
    async fn i_lead(
        &self,
        thing: Thing,
        object: Option<&Object>,
        pace: Pace,
    ) -> Result<bool, Fault> {
        if thing == Thing::Leader {
            return self.leads(object, pace).await;
        }
        let leader = self.thing(Thing::Leader, pace).await?;
        self.leads(leader.as_ref(), pace).await
    }

    /// What the change makes of the annotations, and the revision of the key behind it: above every version that the object
    /// had before, and not above the one that it gets.
    fn annotations(
        &self,
        wish: &Wish<'_>,
        object: Option<&Object>,
        marks: Marks,
    ) -> (Annotations, Revision) {
        let written = documents::written(wish.key, wish.change.value());
        let mut annotations: Annotations = written.into_iter().collect();
        let before = object.map_or_else(
            || self.highest.load(std::sync::atomic::Ordering::Relaxed),
            |object| object.number,
        );
        let (mark, revision) = match wish.change {
            Change::Delete => (None, 0),
            Change::Put(_) => {
                let revision = before + 1;
                let get = |name: &str| annotations.get(name)?.as_deref();
                let mark = Mark {
                    revision,
                    digest: documents::digest(wish.key, get),
                    write: wish.write.clone(),
                };
                (Some(mark), revision)
            }
        };
        annotations.insert(MARKS, Some(marks.with(wish.key, mark)));
        (annotations, revision)
    }

    /// Kubernetes takes Endpoints away now and then for which there is no service.
    async fn ensure_service(&self, pace: Pace) {
        use std::sync::atomic::Ordering;
        let is_needed = self.settings.endpoints.is_some();
        if !is_needed || self.has_service.load(Ordering::Relaxed) {
            return;
        }
        let name = self.names.name(Thing::Config);
        let body = body::service(&name, &self.names.labels);
        match self.create("services", &body, pace).await {
            Ok(_) => self.has_service.store(true, Ordering::Relaxed),
            Err(fault) => tracing::warn!(
                "cannot make the service {name}, which keeps the Endpoints with the configuration alive: {}",
                fault.text()
            ),
        }
    }
}

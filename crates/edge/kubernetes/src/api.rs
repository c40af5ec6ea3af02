//! Requests for single objects and for all of a cluster.

use pgherd_domain::Revision;
use reqwest::Method;
use serde_json::Value;

use crate::body::{self, Annotations};
use crate::fault::Fault;
use crate::http::{Answer, Request};
use crate::names::Thing;
use crate::object::{Object, number};
use crate::pace::Pace;
use crate::store::Store;

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// The object as it is now.
    Done(Object),
    /// It is at another version, or exists already.
    Conflict,
    /// It does not exist.
    Missing,
}

/// All objects of a kind, at one moment.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Object>,
    /// From where a watch goes on.
    pub(crate) version: String,
}

impl Store {
    /// One of the cluster's objects, as it is now.
    pub(crate) async fn thing(&self, thing: Thing, pace: Pace) -> Result<Option<Object>, Fault> {
        self.read(self.names.things(), &self.names.name(thing), pace)
            .await
    }

    /// A member's pod.
    pub(crate) async fn pod(&self, name: &str, pace: Pace) -> Result<Option<Object>, Fault> {
        self.read("pods", name, pace).await
    }

    async fn read(&self, kind: &str, name: &str, pace: Pace) -> Result<Option<Object>, Fault> {
        let path = self.names.path(kind, Some(name));
        let answer = self.request(Method::GET, &path, None, pace).await?;
        match answer.status {
            200 => self.object(&answer).map(Some),
            404 => Ok(None),
            _ => Err(answer.fault()),
        }
    }

    /// All objects of a kind that have the cluster's labels, of all its groups.
    pub(crate) async fn list(&self, kind: &str, pace: Pace) -> Result<Listed, Fault> {
        let path = self.names.path(kind, None);
        let path = format!("{path}?{}", self.names.selector());
        let answer = self.request(Method::GET, &path, None, pace).await?;
        if answer.status != 200 {
            return Err(answer.fault());
        }
        let list = answer.json()?;
        let version = list.pointer("/metadata/resourceVersion");
        let version = version
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.seen(number(&version)?);
        let items = list.get("items").and_then(Value::as_array);
        let objects = items.into_iter().flatten().map(Object::read);
        Ok(Listed {
            objects: objects.collect::<Result<_, _>>()?,
            version,
        })
    }

    /// Changes annotations of one of the cluster's objects as it was read, or makes it.
    pub(crate) async fn change(
        &self,
        thing: Thing,
        before: Option<&Object>,
        annotations: &Annotations,
        subsets: Option<Value>,
        pace: Pace,
    ) -> Result<Came, Fault> {
        let name = self.names.name(thing);
        let mut body = match before {
            Some(before) => {
                let labels = self.names.labels.iter();
                let labels = labels.map(|(name, text)| (name.clone(), Some(text.clone())));
                body::patch(&labels.collect(), annotations, Some(&before.version))
            }
            None => {
                let kind = match self.names.things() {
                    "endpoints" => "Endpoints",
                    _ => "ConfigMap",
                };
                body::new(kind, &name, &self.names.labels, annotations)
            }
        };
        if let (Some(subsets), Some(map)) = (subsets, body.as_object_mut()) {
            map.insert("subsets".to_owned(), subsets);
        }
        match before {
            Some(_) => self.patch(self.names.things(), &name, &body, pace).await,
            None => self.create(self.names.things(), &body, pace).await,
        }
    }

    /// Patches an object.
    pub(crate) async fn patch(
        &self,
        kind: &str,
        name: &str,
        body: &Value,
        pace: Pace,
    ) -> Result<Came, Fault> {
        let path = self.names.path(kind, Some(name));
        // A server in whose queue it waits must not carry it out when nobody waits for the answer any more.
        let path = format!("{path}?timeout={}ms", pace.again.as_millis());
        let answer = self.request(Method::PATCH, &path, Some(body), pace).await?;
        match answer.status {
            200 | 201 => self.object(&answer).map(Came::Done),
            404 => Ok(Came::Missing),
            409 => Ok(Came::Conflict),
            _ => Err(answer.fault()),
        }
    }

    /// Makes an object.
    pub(crate) async fn create(&self, kind: &str, body: &Value, pace: Pace) -> Result<Came, Fault> {
        let path = self.names.path(kind, None);
        let answer = self.request(Method::POST, &path, Some(body), pace).await?;
        match answer.status {
            200..=202 => self.object(&answer).map(Came::Done),
            409 => Ok(Came::Conflict),
            _ => Err(answer.fault()),
        }
    }

    /// Deletes all objects of a kind that have the cluster's labels.
    pub(crate) async fn delete_all(&self, kind: &str, pace: Pace) -> Result<(), Fault> {
        let path = self.names.path(kind, None);
        let path = format!("{path}?{}", self.names.selector());
        let answer = self.request(Method::DELETE, &path, None, pace).await?;
        match answer.status {
            200..=202 | 404 => Ok(()),
            _ => Err(answer.fault()),
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        pace: Pace,
    ) -> Result<Answer, Fault> {
        let request = Request {
            method,
            path,
            body,
            patience: pace.again,
        };
        self.http.send(request).await
    }

    fn object(&self, answer: &Answer) -> Result<Object, Fault> {
        let object = Object::read(&answer.json()?)?;
        self.seen(object.number);
        Ok(object)
    }

    /// Notes the highest version that was seen.
    pub(crate) fn seen(&self, number: Revision) {
        self.highest
            .fetch_max(number, std::sync::atomic::Ordering::Relaxed);
    }
}

//! Objects, their versions, and what happened to them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::merge::merge;

/// So many changes are kept for watches; one that asks for older ones is told that they are gone.
const CHANGES_KEPT: usize = 2_000;

/// Kind, as in URLs, namespace and name.
pub(crate) type Place = (String, String, String);

/// Why a request is refused: status, reason and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str, pub(crate) String);

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) place: Place,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// All objects.
#[derive(Debug)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    /// Tells watches of a new version.
    pub(crate) moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) version: u64,
    pub(crate) objects: BTreeMap<Place, Value>,
    pub(crate) changes: VecDeque<Change>,
    /// Changes up to this version are not known any more.
    pub(crate) forgotten: u64,
}

impl State {
    pub(crate) fn new() -> Self {
        // A real one has served others before.
        let version = 1_000;
        Self {
            inner: Mutex::new(Inner {
                version,
                forgotten: version,
                ..Inner::default()
            }),
            moved: watch::Sender::new(version),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an object.
    pub(crate) fn create(&self, place: Place, mut object: Value) -> Result<Value, Refusal> {
        check_name(&place.2)?;
        check_labels(&object)?;
        let mut inner = self.lock();
        if inner.objects.contains_key(&place) {
            let text = format!("{} \"{}\" already exists", place.0, place.2);
            return Err(Refusal(409, "AlreadyExists", text));
        }
        let uid = format!("uid-{}", inner.version + 1);
        let metadata = json!({"metadata": {
            "name": place.2, "namespace": place.1, "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z",
        }});
        merge(&mut object, &metadata);
        Ok(self
            .store(&mut inner, place, Some(object))
            .unwrap_or_default())
    }

    /// Patches an object.
    pub(crate) fn patch(&self, place: &Place, patch: &Value) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let before = inner.objects.get(place).ok_or_else(|| missing(place))?;
        agrees(before, patch, place)?;
        let mut after = before.clone();
        let mut patch = patch.clone();
        if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        merge(&mut after, &patch);
        check_labels(&after)?;
        // What changes nothing is no change.
        if after == *before {
            return Ok(after);
        }
        Ok(self
            .store(&mut inner, place.clone(), Some(after))
            .unwrap_or_default())
    }

    /// Replaces an object.
    pub(crate) fn replace(&self, place: &Place, mut object: Value) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let before = inner.objects.get(place).ok_or_else(|| missing(place))?;
        agrees(before, &object, place)?;
        check_labels(&object)?;
        for key in [
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "name",
            "namespace",
        ] {
            let path = format!("/metadata/{key}");
            let kept = before.pointer(&path).cloned().unwrap_or_default();
            merge(&mut object, &json!({"metadata": {key: kept}}));
        }
        if object == *before {
            return Ok(object);
        }
        Ok(self
            .store(&mut inner, place.clone(), Some(object))
            .unwrap_or_default())
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, place: &Place) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let before = inner.objects.get(place).cloned();
        let before = before.ok_or_else(|| missing(place))?;
        self.store(&mut inner, place.clone(), None);
        Ok(before)
    }

    fn store(&self, inner: &mut Inner, place: Place, object: Option<Value>) -> Option<Value> {
        inner.version += 1;
        let version = inner.version;
        let after = object.map(|mut object| {
            merge(
                &mut object,
                &json!({"metadata": {"resourceVersion": version.to_string()}}),
            );
            object
        });
        let before = match &after {
            Some(object) => inner.objects.insert(place.clone(), object.clone()),
            None => inner.objects.remove(&place),
        };
        inner.changes.push_back(Change {
            version,
            place,
            before,
            after: after.clone(),
        });
        while inner.changes.len() > CHANGES_KEPT {
            inner.forget_one();
        }
        self.moved.send_replace(version);
        after
    }
}

impl Inner {
    /// Forgets the oldest change.
    pub(crate) fn forget_one(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.forgotten = change.version;
        }
    }
}

fn missing(place: &Place) -> Refusal {
    Refusal(
        404,
        "NotFound",
        format!("{} \"{}\" not found", place.0, place.2),
    )
}

/// A version that is given must be the object's, and a name its own.
fn agrees(before: &Value, given: &Value, place: &Place) -> Result<(), Refusal> {
    let of = |object: &Value, key: &str| {
        let text = object
            .get("metadata")
            .and_then(|meta| meta.get(key)?.as_str());
        text.unwrap_or_default().to_owned()
    };
    let version = of(given, "resourceVersion");
    if !version.is_empty() && version != of(before, "resourceVersion") {
        let text = format!(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the \
             latest version and try again",
            place.0, place.2
        );
        return Err(Refusal(409, "Conflict", text));
    }
    let name = of(given, "name");
    if !name.is_empty() && name != place.2 {
        let text = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            place.2
        );
        return Err(Refusal(400, "BadRequest", text));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit();
    let fits = !name.is_empty()
        && name.len() <= 253
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name
            .chars()
            .all(|one| plain(one) || one == '-' || one == '.');
    match fits {
        true => Ok(()),
        false => Err(Refusal(
            422,
            "Invalid",
            format!("metadata.name: Invalid value: \"{name}\""),
        )),
    }
}

fn check_labels(object: &Value) -> Result<(), Refusal> {
    let labels = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    for (name, value) in labels.into_iter().flatten() {
        let edge = |one: char| one.is_ascii_alphanumeric();
        let fits = value.as_str().is_some_and(|text| {
            text.is_empty()
                || (text.len() <= 63
                    && text.starts_with(edge)
                    && text.ends_with(edge)
                    && text.chars().all(|one| edge(one) || "-_.".contains(one)))
        });
        if !fits {
            let text = format!("metadata.labels: Invalid value: {value} of {name}");
            return Err(Refusal(422, "Invalid", text));
        }
    }
    let annotations = object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    for (name, value) in annotations.into_iter().flatten() {
        if !value.is_string() {
            let text = format!("metadata.annotations: {name} is no text");
            return Err(Refusal(400, "BadRequest", text));
        }
    }
    Ok(())
}

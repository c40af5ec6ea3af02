//! A revision for every key. Kubernetes has one version for a whole object, in which several keys are, and a new leader
//! changes it without changing any key. So what pgherd writes leaves a mark in the object: the revision of the key, what its
//! annotations were, and whose write it was. Patroni's writes leave the mark as it is, and their digest tells.

use std::collections::BTreeMap;

use pgherd_domain::Revision;
use pgherd_ports::Key;
use serde_json::{Value, json};

use crate::documents;
use crate::object::Object;

/// The annotation with the marks of an object's keys.
pub(crate) const MARKS: &str = "pgherd_revisions";

/// What was written last, by pgherd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) revision: Revision,
    pub(crate) digest: u64,
    /// Names one write of one process.
    pub(crate) write: String,
}

/// The marks of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks(BTreeMap<String, Mark>);

impl Marks {
    /// Reads them; what is not understood is left out.
    pub(crate) fn read(object: &Object) -> Self {
        let text = object.get(MARKS).unwrap_or_default();
        let map: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let marks = map.into_iter().filter_map(|(key, mark)| {
            let mark = Mark {
                revision: mark.get(0)?.as_i64()?,
                digest: u64::from_str_radix(mark.get(1)?.as_str()?, 16).ok()?,
                write: mark.get(2)?.as_str()?.to_owned(),
            };
            Some((key, mark))
        });
        Self(marks.collect())
    }

    /// The mark of a key, if its annotations are as they were when it was set.
    pub(crate) fn of(&self, key: &Key, object: &Object) -> Option<&Mark> {
        let digest = documents::digest(key, |name| object.get(name));
        let mark = self.0.get(&key.path())?;
        (mark.digest == digest).then_some(mark)
    }

    /// Sets the mark of a key, or takes it away; gives the annotation.
    pub(crate) fn with(mut self, key: &Key, mark: Option<Mark>) -> String {
        match mark {
            Some(mark) => self.0.insert(key.path(), mark),
            None => self.0.remove(&key.path()),
        };
        let map = self.0.into_iter().map(|(key, mark)| {
            let digest = format!("{:016x}", mark.digest);
            (key, json!([mark.revision, digest, mark.write]))
        });
        Value::Object(map.collect()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(annotations: &[(&str, &str)]) -> Object {
        let pairs = annotations.iter();
        Object {
            annotations: pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            ..Object::default()
        }
    }

    #[test]
    fn a_mark_counts_until_somebody_else_writes_the_key() {
        let before = object(&[("config", "{}")]);
        let mark = Mark {
            revision: 7,
            digest: documents::digest(&Key::Config, |name| before.get(name)),
            write: "w1".to_owned(),
        };
        let text = Marks::default().with(&Key::Config, Some(mark.clone()));
        let same = object(&[("config", "{}"), ("history", "[]"), (MARKS, &text)]);
        assert_eq!(Marks::read(&same).of(&Key::Config, &same), Some(&mark));
        let other = object(&[("config", "{ }"), (MARKS, &text)]);
        assert_eq!(Marks::read(&other).of(&Key::Config, &other), None);
        let garbage = object(&[("config", "{}"), (MARKS, "[")]);
        assert_eq!(Marks::read(&garbage), Marks::default());
        assert_eq!(Marks::read(&same).with(&Key::Config, None), "{}");
    }
}

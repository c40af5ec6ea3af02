//! Reads typed values out of a merged document, with the defaults of the table of keys. Values of the wrong
//! kind were told by the check before, so they fall to their default in silence here.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde_json::{Map, Value};

use crate::document::Places;
use crate::keys::{self, Kind};
use crate::{Fault, ProgramOption, Secret, Warning, check, value};

/// Reads one merged document and collects what its check could not see.
pub(crate) struct Reader<'a> {
    values: &'a Map<String, Value>,
    places: &'a Places,
    /// What can not be lived with.
    pub(crate) faults: Vec<Fault>,
    /// What can be lived with.
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    /// Reads `values`, which came from `places`.
    pub(crate) fn new(values: &'a Map<String, Value>, places: &'a Places) -> Self {
        Self {
            values,
            places,
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes what can not be lived with.
    pub(crate) fn fault(&mut self, path: &str, problem: impl Into<String>) {
        let fault = self.at(path, problem.into());
        self.faults.push(fault);
    }

    /// Notes what can be lived with.
    pub(crate) fn warn(&mut self, path: &str, problem: impl Into<String>) {
        let warning = self.at(path, problem.into());
        self.warnings.push(warning);
    }

    /// Notes a message in words that operators search logs for.
    pub(crate) fn say(&mut self, message: String) {
        self.warnings.push(Fault::plain(message));
    }

    fn at(&self, path: &str, problem: String) -> Fault {
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        Fault {
            place: self.places.of(&names),
            path: path.to_owned(),
            problem,
        }
    }

    /// The place of a key.
    pub(crate) fn place(&self, path: &str) -> crate::Place {
        self.at(path, String::new()).place
    }

    /// Whether the key is given at all.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.raw(path).is_some()
    }

    /// The value as it was given; null is as if not given.
    pub(crate) fn raw(&self, path: &str) -> Option<&'a Value> {
        let names: Vec<&str> = path.split('.').collect();
        check::get(self.values, &names)
    }

    /// The value when it is of the key's kind.
    fn fitting(&self, path: &str) -> Option<&'a Value> {
        let kind = keys::named(path).map_or(Kind::Any, |key| key.kind);
        self.raw(path)
            .filter(|value| check::fits(kind, value).is_ok())
    }

    /// The given value or the default of the table.
    fn given_or_default(&self, path: &str) -> Value {
        let default = || keys::named(path).map_or("", |key| key.default);
        self.fitting(path)
            .cloned()
            .unwrap_or_else(|| Value::String(default().to_owned()))
    }

    /// A boolean.
    pub(crate) fn flag(&self, path: &str) -> bool {
        value::flag(&self.given_or_default(path)).unwrap_or(false)
    }

    /// A boolean, when given.
    pub(crate) fn given_flag(&self, path: &str) -> Option<bool> {
        self.fitting(path).and_then(value::flag)
    }

    /// An integer.
    pub(crate) fn whole(&self, path: &str) -> i64 {
        value::whole(&self.given_or_default(path)).unwrap_or(0)
    }

    /// An integer, when given.
    pub(crate) fn given_whole(&self, path: &str) -> Option<i64> {
        self.fitting(path).and_then(value::whole)
    }

    /// An integer whose range starts at 0 or more.
    pub(crate) fn count(&self, path: &str) -> u32 {
        u32::try_from(self.whole(path)).unwrap_or(0)
    }

    /// A size in bytes.
    pub(crate) fn bytes(&self, path: &str) -> i64 {
        value::bytes(&self.given_or_default(path), value::SizeUnit::Byte).unwrap_or(0)
    }

    /// A time in whole seconds.
    pub(crate) fn seconds(&self, path: &str) -> i64 {
        value::seconds(&self.given_or_default(path)).unwrap_or(0)
    }

    /// A time.
    pub(crate) fn span(&self, path: &str) -> Duration {
        Duration::from_secs(u64::try_from(self.seconds(path)).unwrap_or(0))
    }

    /// A time; `None`: never.
    pub(crate) fn span_or_never(&self, path: &str) -> Option<Duration> {
        let given = self.given_or_default(path);
        if value::is_never(&given) {
            return None;
        }
        let seconds = value::seconds(&given).unwrap_or(0);
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// A text with a default.
    pub(crate) fn text(&self, path: &str) -> String {
        value::scalar(&self.given_or_default(path)).unwrap_or_default()
    }

    /// A text, when given and not empty.
    pub(crate) fn given(&self, path: &str) -> Option<String> {
        self.fitting(path)
            .and_then(value::scalar)
            .filter(|text| !text.is_empty())
    }

    /// A path, when given and not empty.
    pub(crate) fn path(&self, path: &str) -> Option<Utf8PathBuf> {
        self.given(path).map(Utf8PathBuf::from)
    }

    /// A password, when given.
    pub(crate) fn secret(&self, path: &str) -> Option<Secret> {
        self.fitting(path).and_then(value::scalar).map(Secret::new)
    }

    /// One of the words of the key's kind, spelled as the table does.
    pub(crate) fn choice(&self, path: &str) -> &'static str {
        let Some(key) = keys::named(path) else {
            return "";
        };
        let Kind::Choice(words) = key.kind else {
            return key.default;
        };
        let given = self
            .fitting(path)
            .and_then(value::scalar)
            .unwrap_or_default();
        words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(&given))
            .unwrap_or(&key.default)
    }

    /// Texts of a list, or of one text with commas.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        check::list(&self.given_or_default(path)).unwrap_or_default()
    }

    /// Lines of a list, when given.
    pub(crate) fn lines(&self, path: &str) -> Option<Vec<String>> {
        self.fitting(path).and_then(check::lines)
    }

    /// Names and texts; entries that are no single value are left out, and the others count.
    pub(crate) fn texts(&self, path: &str) -> BTreeMap<String, String> {
        self.raw(path).map(texts).unwrap_or_default()
    }

    /// Options of a program.
    pub(crate) fn options(&self, path: &str) -> Vec<ProgramOption> {
        self.fitting(path)
            .and_then(check::options)
            .unwrap_or_default()
    }

    /// A mapping, when given.
    pub(crate) fn mapping(&self, path: &str) -> Option<&'a Map<String, Value>> {
        self.raw(path).and_then(Value::as_object)
    }
}

/// The scalars of a mapping as texts.
pub(crate) fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, value)| Some((name.clone(), value::scalar(value)?)))
        .collect()
}

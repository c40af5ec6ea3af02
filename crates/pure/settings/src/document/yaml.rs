//! YAML as Patroni's users write it, with the line of every key.
//!
//! The parser reads YAML 1.2; the files were written for a reader of YAML 1.1. So scalars without quotes are read once
//! more here, as that one does: [`scalar`].

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::{Path, scalar};

/// How deep collections may nest. No setting is as deep by far, and the stack of a thread holds it.
const DEPTH_MAX: usize = 24;

/// How much aliases may unfold to, in all. A file that shares everything it can stays far below.
const REPLAYED_MAX: usize = 50_000;

/// What a text holds.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Its values.
    pub(crate) value: Value,
    /// The line of each key and list item, from 1.
    pub(crate) lines: Vec<(Path, u64)>,
    /// Keys that come more than once in their mapping, with the line of the later one.
    pub(crate) twice: Vec<(Path, u64)>,
}

/// Why a text is not YAML.
#[derive(Debug)]
pub(crate) struct NotYaml {
    /// The line, when the parser knows it.
    pub(crate) line: Option<u64>,
    /// What is wrong.
    pub(crate) problem: String,
}

/// Reads a text. Nothing at all is null.
pub(crate) fn parse(text: &str) -> Result<Parsed, NotYaml> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_MAX },
    };
    let root: Spanned<Node> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| NotYaml {
            line: error.location().map(|location| location.line()),
            problem: problem(first_line(&error.without_snippet().to_string())),
        })?;
    let found = RefCell::new(Found::default());
    let value = Walk {
        text,
        found: &found,
    }
    .value(root, &mut Path::new());
    let Found { lines, twice } = found.into_inner();
    Ok(Parsed {
        value,
        lines,
        twice,
    })
}

fn problem(said: &str) -> String {
    if said.contains("multiple YAML documents") {
        let several = "holds several documents of YAML; keep one, without a line `---` behind it";
        return several.to_owned();
    }
    format!("is not YAML: {said}")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A node of the text as the parser gives it.
enum Node {
    Null,
    Scalar(Value),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, on: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(on)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Number::from_f64(number).map_or_else(
            || Node::Text(number.to_string()),
            |number| Node::Scalar(number.into()),
        ))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

/// What is noted beside the values.
#[derive(Default)]
struct Found {
    lines: Vec<(Path, u64)>,
    twice: Vec<(Path, u64)>,
}

/// Turns nodes into values and notes lines on the way.
struct Walk<'a> {
    text: &'a str,
    found: &'a RefCell<Found>,
}

impl Walk<'_> {
    fn value(&self, node: Spanned<Node>, path: &mut Path) -> Value {
        let at = node.defined;
        match node.value {
            Node::Null => Value::Null,
            Node::Scalar(value) => match self.number_at(at) {
                Some(number) => scalar::bare(number).unwrap_or_else(|| number.into()),
                None => value,
            },
            Node::Text(text) => scalar::bare(&text)
                .filter(|_| self.is_bare(&text, at))
                .unwrap_or(Value::String(text)),
            Node::List(items) => {
                let mut list = Vec::new();
                for (number, item) in items.into_iter().enumerate() {
                    path.push(number.to_string());
                    self.note(path, item.referenced.line());
                    list.push(self.value(item, path));
                    path.pop();
                }
                Value::Array(list)
            }
            Node::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    path.push(key.value.clone());
                    let line = key.referenced.line();
                    self.note(path, line);
                    if map.contains_key(&key.value) {
                        self.found.borrow_mut().twice.push((path.clone(), line));
                    }
                    let value = self.value(value, path);
                    map.insert(key.value, value);
                    path.pop();
                }
                Value::Object(map)
            }
        }
    }

    fn note(&self, path: &Path, line: u64) {
        self.found.borrow_mut().lines.push((path.clone(), line));
    }

    /// Whether the text stands in the file just so, without quotes and not called a text.
    fn is_bare(&self, text: &str, at: serde_saphyr::Location) -> bool {
        self.around(at).is_some_and(|(before, rest)| {
            rest.starts_with(text) && !before.trim_end().ends_with("!!str")
        })
    }

    /// What the parser took for a number, as it is written.
    fn number_at(&self, at: serde_saphyr::Location) -> Option<&str> {
        let (_, rest) = self.around(at)?;
        let belongs = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
        let number = rest.split(|letter| !belongs(letter)).next()?;
        number
            .starts_with(|letter: char| letter.is_ascii_digit() || "+-.".contains(letter))
            .then_some(number)
    }

    /// The file before a place, and from it on.
    fn around(&self, at: serde_saphyr::Location) -> Option<(&str, &str)> {
        let start = at.span().byte_offset()?;
        self.text.split_at_checked(usize::try_from(start).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bare_words_of_yaml_1_1_are_booleans_and_quoted_ones_are_text() {
        let text = "a: on\nb: 'on'\nc: yes\nd: \"no\"\ne: Off\nf: y\ng: [on, 'off']\nh: {i: no}\nj: |\n  on\n";
        let value = parse(text).unwrap().value;
        assert_eq!(
            value,
            json!({"a": true, "b": "on", "c": true, "d": "no", "e": false, "f": "y",
                   "g": [true, "off"], "h": {"i": false}, "j": "on\n"})
        );
    }

    #[test]
    fn numbers_keep_what_the_value_syntax_needs() {
        let value = parse("a: 0644\nb: 10\nc: 1.5\nd: 0x1F\ne: 1e3\nf: -1\ng: 010\n")
            .unwrap()
            .value;
        let whole = |key: &str| crate::value::whole(&value[key]);
        assert_eq!(whole("a"), Some(420));
        assert_eq!(whole("b"), Some(10));
        assert_eq!(value["c"], json!(1.5));
        assert_eq!(whole("d"), Some(31));
        assert_eq!(whole("e"), Some(1000));
        assert_eq!(whole("f"), Some(-1));
        assert_eq!(whole("g"), Some(8));
    }

    #[test]
    fn scalars_are_read_as_the_old_reader_reads_them_wherever_they_stand() {
        let text = "a: 0640\nb: [012, '012', 1e3, 1.50]\nc: &c 1:30\nd: *c\ne: {f: 010 , g: 1_0}\n\
                    h: !!str 012\ni: 007 # seven\nj: 12 34\n";
        let value = parse(text).unwrap().value;
        assert_eq!(
            value,
            json!({"a": 416, "b": [10, "012", "1e3", 1.5], "c": 90, "d": 90, "e": {"f": 8, "g": 10},
                   "h": "012", "i": 7, "j": "12 34"})
        );
    }

    #[test]
    fn every_key_and_item_has_its_line() {
        let parsed = parse("# a comment\na:\n  b: 1\n\n  c:\n    - x\n    - y: 2\n").unwrap();
        let line = |path: &[&str]| {
            parsed
                .lines
                .iter()
                .find(|(key, _)| key == path)
                .map(|(_, line)| *line)
        };
        assert_eq!(line(&["a"]), Some(2));
        assert_eq!(line(&["a", "b"]), Some(3));
        assert_eq!(line(&["a", "c", "0"]), Some(6));
        assert_eq!(line(&["a", "c", "1", "y"]), Some(7));
    }

    #[test]
    fn anchors_and_merge_keys_work_and_a_second_key_is_noted() {
        let parsed = parse("x: &x {a: on, b: 2}\ny:\n  <<: *x\n  b: 3\nz: *x\nz: 1\n").unwrap();
        assert_eq!(parsed.value["y"], json!({"a": true, "b": 3}));
        assert_eq!(parsed.value["z"], json!(1));
        assert_eq!(parsed.twice, [(vec!["z".to_owned()], 6)]);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 2), "{error:?}");
        assert!(error.problem.starts_with("is not YAML: "), "{error:?}");
        let error = parse("a: 1\n---\nb: 2\n").unwrap_err();
        assert!(
            error.problem.starts_with("holds several documents"),
            "{error:?}"
        );
    }
}

//! YAML as `show-config`, `edit-config` and the tables print it: block style, sorted keys, 200 columns, and
//! quotes around strings that would read as something else (contract §18.3).

mod plain;

use serde_json::{Map, Number, Value};

/// Where a line is folded.
const WIDTH: usize = 200;

/// A document in block style. Ends with a line break.
pub fn block(value: &Value) -> String {
    let mut out = Out::default();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => leaf(value, 0, &mut out),
    }
    out.text.push('\n');
    out.text
}

/// A document in flow style, on one line: `{clonefrom: true}`.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = sorted(map)
                .map(|(key, value)| format!("{}: {}", flow_text(key), flow(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::String(text) => flow_text(text),
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Number(number) => self::number(number),
    }
}

/// A number, which YAML 1.1 reads as one with an exponent only when it has a point as well.
fn number(number: &Number) -> String {
    let text = number.to_string();
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        Some(_) | None => text,
    }
}

/// Text with the column it has reached.
#[derive(Default)]
struct Out {
    text: String,
    column: usize,
}

impl Out {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn push_char(&mut self, letter: char) {
        self.text.push(letter);
        self.column += 1;
    }

    fn new_line(&mut self, indent: usize) {
        self.text.push('\n');
        self.text.push_str(&" ".repeat(indent));
        self.column = indent;
    }
}

fn sorted(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    pairs.into_iter()
}

fn mapping(map: &Map<String, Value>, indent: usize, out: &mut Out) {
    for (index, (key, value)) in sorted(map).enumerate() {
        if index > 0 {
            out.new_line(indent);
        }
        // a key stands on one line whatever its length
        let key = if plain::is_plain(key, false) {
            key.clone()
        } else {
            quoted_on_one_line(key)
        };
        out.push(&key);
        out.push(":");
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.new_line(indent + 2);
                mapping(map, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.new_line(indent);
                sequence(items, indent, out);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                out.push(" ");
                leaf(value, indent + 2, out);
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut Out) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.new_line(indent);
        }
        out.push("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(map, indent + 2, out),
            Value::Array(items) if !items.is_empty() => sequence(items, indent + 2, out),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => leaf(item, indent + 2, out),
        }
    }
}

/// A scalar, or an empty list or mapping. What is folded goes on at `indent`.
fn leaf(value: &Value, indent: usize, out: &mut Out) {
    match value {
        Value::String(text) if indent == 0 && marks_document(text) => out.push(&escaped(text)),
        Value::String(text) if plain::is_plain(text, false) => folded(text, indent, out),
        Value::String(text) if plain::needs_escapes(text) => out.push(&escaped(text)),
        Value::String(text) => single_quoted(text, indent, out),
        Value::Array(_) => out.push("[]"),
        Value::Object(_) => out.push("{}"),
        Value::Null | Value::Bool(_) => out.push(&value.to_string()),
        Value::Number(number) => out.push(&self::number(number)),
    }
}

/// Whether a line of the text may begin with what begins or ends a document, where nothing is before it.
fn marks_document(text: &str) -> bool {
    let mut words = text.split([' ', '\n', '\t']).skip(1);
    words.any(|word| word == "---" || word == "...")
}

/// A plain text; a line that is too long ends at the next single space.
fn folded(text: &str, indent: usize, out: &mut Out) {
    let letters: Vec<char> = text.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        if *letter == ' ' && is_single_space(&letters, index) && out.column > WIDTH {
            out.new_line(indent);
        } else {
            out.push_char(*letter);
        }
    }
}

/// A text in single quotes: quotes are doubled, a line break is an empty line.
fn single_quoted(text: &str, indent: usize, out: &mut Out) {
    out.push_char('\'');
    let letters: Vec<char> = text.chars().collect();
    let mut after_break = false;
    for (index, letter) in letters.iter().enumerate() {
        if *letter == '\n' {
            if !after_break {
                out.text.push('\n');
            }
            out.text.push('\n');
            after_break = true;
            continue;
        }
        if after_break {
            out.text.push_str(&" ".repeat(indent));
            out.column = indent;
            after_break = false;
        }
        let inside = index > 0 && index + 1 < letters.len();
        match letter {
            ' ' if inside && is_single_space(&letters, index) && out.column > WIDTH => {
                out.new_line(indent);
            }
            '\'' => out.push("''"),
            other => out.push_char(*other),
        }
    }
    if after_break {
        out.text.push_str(&" ".repeat(indent));
        out.column = indent;
    }
    out.push_char('\'');
}

fn is_single_space(letters: &[char], index: usize) -> bool {
    let is_space = |at: Option<usize>| at.and_then(|at| letters.get(at)) == Some(&' ');
    !is_space(index.checked_sub(1)) && !is_space(Some(index + 1))
}

/// A text in double quotes, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            other if plain::is_printable(other) => out.push(other),
            other if u32::from(other) <= 0xFF => {
                out.push_str(&format!("\\x{:02X}", u32::from(other)));
            }
            other if u32::from(other) <= 0xFFFF => {
                out.push_str(&format!("\\u{:04X}", u32::from(other)));
            }
            other => out.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    out.push('"');
    out
}

fn quoted_on_one_line(text: &str) -> String {
    if plain::needs_escapes(text) || text.contains('\n') {
        escaped(text)
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn flow_text(text: &str) -> String {
    if plain::is_plain(text, true) {
        text.to_owned()
    } else {
        quoted_on_one_line(text)
    }
}

#[cfg(test)]
mod tests;

//! JSON as Patroni writes it on the wire: a space after `:` and `,`, everything beyond ASCII escaped
//! (contract §16.5). Shell scripts search for `"role": "primary"`, so the spacing is part of the contract.

use serde_json::Value;

/// The text of `value` with `", "` and `": "` between its parts and `\uXXXX` for what is not ASCII.
pub fn spaced(value: &Value) -> String {
    let mut out = String::with_capacity(256);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_text(key, out);
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_spacing_and_the_escapes_are_patronis() {
        let value = json!({"state": "running", "x": [1, -2.5, null], "e": {}, "n": "é\u{1F600}\"\\\n\u{1}"});
        assert_eq!(
            spaced(&value),
            r#"{"state": "running", "x": [1, -2.5, null], "e": {}, "n": "\u00e9\ud83d\ude00\"\\\n\u0001"}"#
        );
    }

    #[test]
    fn it_reads_back_as_the_same_value() {
        let value = json!(["\u{7f}", "ß", {"ü": [true, false]}]);
        let back: Value = serde_json::from_str(&spaced(&value)).unwrap();
        assert_eq!(back, value);
    }
}

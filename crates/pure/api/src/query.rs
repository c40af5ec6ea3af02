//! The query string of a URL as form data: the first value of a name counts, empty values are dropped
//! (contract §16.1).

/// The parameters of a request, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`. Nothing in it is an error.
    pub fn parse(text: &str) -> Self {
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            if !value.is_empty() && !found.iter().any(|(known, _)| *known == name) {
                found.push((name, value));
            }
        }
        Self(found)
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// Name and value of every `tag_NAME=VALUE`.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("tag_")?, value.as_str())))
    }
}

/// Undoes `+` and `%XX`; a `%` that starts no escape stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let escape = match byte {
            b'%' => text
                .get(index + 1..index + 3)
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        match (byte, escape) {
            (_, Some(value)) => {
                out.push(value);
                index += 2;
            }
            (b'+', None) => out.push(b' '),
            (other, None) => out.push(*other),
        }
        index += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_empty_ones_are_dropped() {
        let query = Query::parse("lag=&lag=10MB&lag=1&x&tag_a=b%20c+d&tag_%41=1&p=50%&plus=%+f");
        assert_eq!(query.get("lag"), Some("10MB"));
        assert_eq!(query.get("x"), None);
        assert_eq!(query.get("p"), Some("50%"));
        assert_eq!(query.get("plus"), Some("% f"));
        let tags: Vec<_> = query.tags().collect();
        assert_eq!(tags, [("a", "b c d"), ("A", "1")]);
    }

    #[test]
    fn garbage_is_tolerated() {
        for text in ["", "&&", "=", "%", "%zz=%f", "a=%ff"] {
            assert_eq!(Query::parse(text).get("lag"), None, "{text}");
        }
    }
}

//! Label selectors: `a=b,c==d`, all of which must hold.

use serde_json::Value;

/// What objects are found by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector(Vec<(String, String)>);

impl Selector {
    /// Reads one; what is no equation is an error, so that nobody relies on what is not done here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let pair = part.split_once('=');
            let (name, value) =
                pair.ok_or_else(|| format!("the selector `{part}` is not known here"))?;
            if name.ends_with('!') {
                return Err(format!("the selector `{part}` is not known here"));
            }
            let value = value.strip_prefix('=').unwrap_or(value);
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Whether an object is found by it.
    pub(crate) fn finds(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |name: &str| labels.and_then(|labels| labels.get(name)?.as_str());
        self.0
            .iter()
            .all(|(name, value)| label(name) == Some(value))
    }
}

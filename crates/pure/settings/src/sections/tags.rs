//! `tags`: what the operator says about this member (contract §15).

use std::collections::BTreeMap;

use pgherd_domain::Tags;
use serde_json::Value;

use crate::reader::Reader;
use crate::value;

/// Tags that are booleans, with the priority that says the same in degrees.
const FLAGS: [(&str, Option<&str>); 5] = [
    ("clonefrom", None),
    ("nofailover", Some("failover_priority")),
    ("noloadbalance", None),
    ("nosync", Some("sync_priority")),
    ("nostream", None),
];

/// Reads section `tags`. Of the boolean tags, those that are off are not published, unless the matching
/// priority is given.
pub(crate) fn read(reader: &mut Reader<'_>) -> Tags {
    let given = reader.mapping("tags").cloned().unwrap_or_default();
    let mut published: BTreeMap<String, Value> = given
        .into_iter()
        .filter(|(_, value)| value::scalar(value).is_some())
        .collect();
    for (name, priority) in FLAGS {
        let flag = reader.given_flag(&format!("tags.{name}"));
        let number = priority.and_then(|name| reader.given_whole(&format!("tags.{name}")));
        if let (Some(priority), Some(flag), Some(number)) = (priority, flag, number)
            && flag != (number <= 0)
        {
            let flag = if flag { "True" } else { "False" };
            reader.say(format!(
                "Conflicting configuration between {name}: {flag} and {priority}: {number}. \
                 Defaulting to {name}: {flag}"
            ));
        }
        match flag {
            Some(flag) if flag || number.is_some() => {
                published.insert(name.to_owned(), Value::Bool(flag));
            }
            _ => {
                published.remove(name);
            }
        }
        if let (Some(priority), Some(number)) = (priority, number) {
            published.insert(priority.to_owned(), number.into());
        }
    }
    Tags::from_published(&published)
}

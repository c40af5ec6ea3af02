//! Requests: which object or which list is meant, and what is to happen to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::selector::Selector;
use crate::state::{Place, Refusal, State};

/// The kinds there are, as in URLs and as they are called.
const KINDS: [(&str, &str); 4] = [
    ("configmaps", "ConfigMap"),
    ("endpoints", "Endpoints"),
    ("pods", "Pod"),
    ("services", "Service"),
];

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// The kind of the body.
    pub(crate) content: String,
    pub(crate) body: Vec<u8>,
}

/// Objects of a kind in a namespace, or one of them.
#[derive(Debug)]
struct Meant {
    kind: &'static str,
    called: &'static str,
    namespace: String,
    name: Option<String>,
}

/// An answer at once, or a watch.
#[derive(Debug)]
pub(crate) enum Reply {
    Object(u16, Value),
    Watch(Watch),
}

/// Which changes are watched.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) kind: &'static str,
    pub(crate) called: &'static str,
    pub(crate) namespace: String,
    pub(crate) selector: Selector,
    /// From which version on; `None`: what there is comes first.
    pub(crate) from: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) seconds: u64,
}

/// Carries a request out.
pub(crate) fn answer(state: &State, asked: &Asked) -> Reply {
    match carry_out(state, asked) {
        Ok(reply) => reply,
        Err(refusal) => Reply::Object(refusal.0, status(&refusal)),
    }
}

/// A refusal as Kubernetes writes it.
pub(crate) fn status(refusal: &Refusal) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": refusal.2, "reason": refusal.1, "code": refusal.0,
    })
}

fn carry_out(state: &State, asked: &Asked) -> Result<Reply, Refusal> {
    let meant = meant(&asked.path)?;
    let place = |name: &str| -> Place {
        (
            meant.kind.to_owned(),
            meant.namespace.clone(),
            name.to_owned(),
        )
    };
    let selector = asked.query.get("labelSelector").map_or("", String::as_str);
    let selector = Selector::parse(selector).map_err(|text| Refusal(400, "BadRequest", text))?;
    let object = |code| move |object| Reply::Object(code, object);
    match (asked.method.as_str(), meant.name.as_deref()) {
        ("GET", Some(name)) => {
            let found = state.lock().objects.get(&place(name)).cloned();
            let none = || {
                Refusal(
                    404,
                    "NotFound",
                    format!("{} \"{name}\" not found", meant.kind),
                )
            };
            found.ok_or_else(none).map(object(200))
        }
        ("GET", None) if is_true(asked, "watch") => watch(asked, meant, selector).map(Reply::Watch),
        ("GET", None) => Ok(Reply::Object(200, list(state, &meant, &selector))),
        ("POST", None) => {
            let mut body = json_of(asked)?;
            let name = body.pointer("/metadata/name").and_then(Value::as_str);
            let name = name.unwrap_or_default().to_owned();
            if let Some(map) = body.as_object_mut() {
                map.insert("kind".into(), meant.called.into());
                map.insert("apiVersion".into(), "v1".into());
            }
            state.create(place(&name), body).map(object(201))
        }
        ("PUT", Some(name)) => state
            .replace(&place(name), json_of(asked)?)
            .map(object(200)),
        ("PATCH", Some(name)) => {
            let kinds = [
                "application/strategic-merge-patch+json",
                "application/merge-patch+json",
            ];
            if !kinds.contains(&asked.content.as_str()) {
                let text = format!("the patch `{}` is not known here", asked.content);
                return Err(Refusal(415, "UnsupportedMediaType", text));
            }
            state.patch(&place(name), &json_of(asked)?).map(object(200))
        }
        ("DELETE", Some(name)) => state.delete(&place(name)).map(object(200)),
        ("DELETE", None) => {
            let listed = list(state, &meant, &selector);
            let items = listed.get("items").and_then(Value::as_array);
            for item in items.into_iter().flatten() {
                let name = item.pointer("/metadata/name").and_then(Value::as_str);
                state.delete(&place(name.unwrap_or_default())).ok();
            }
            Ok(Reply::Object(200, listed))
        }
        _ => Err(Refusal(405, "MethodNotAllowed", "not known here".into())),
    }
}

fn meant(path: &str) -> Result<Meant, Refusal> {
    let none = || Refusal(404, "NotFound", format!("`{path}` is not known here"));
    let rest = path.strip_prefix("/api/v1/namespaces/").ok_or_else(none)?;
    let mut parts = rest.trim_end_matches('/').split('/');
    let (namespace, kind) = (parts.next(), parts.next());
    let (namespace, kind) = namespace.zip(kind).ok_or_else(none)?;
    let (kind, called) = KINDS
        .iter()
        .find(|(one, _)| *one == kind)
        .ok_or_else(none)?;
    let name = parts.next().map(str::to_owned);
    if parts.next().is_some() {
        return Err(none());
    }
    Ok(Meant {
        kind,
        called,
        namespace: namespace.to_owned(),
        name,
    })
}

fn is_true(asked: &Asked, name: &str) -> bool {
    let text = asked.query.get(name).map(|text| text.to_ascii_lowercase());
    matches!(text.as_deref(), Some("1" | "true"))
}

fn watch(asked: &Asked, meant: Meant, selector: Selector) -> Result<Watch, Refusal> {
    let number = |name: &str| -> Result<Option<u64>, Refusal> {
        let given = asked.query.get(name).filter(|text| !text.is_empty());
        let wrong =
            |text: &String| Refusal(400, "BadRequest", format!("{name}: `{text}` is no number"));
        given
            .map(|text| text.parse().map_err(|_| wrong(text)))
            .transpose()
    };
    Ok(Watch {
        kind: meant.kind,
        called: meant.called,
        namespace: meant.namespace,
        selector,
        from: number("resourceVersion")?.filter(|version| *version > 0),
        bookmarks: is_true(asked, "allowWatchBookmarks"),
        seconds: number("timeoutSeconds")?.unwrap_or(1_800),
    })
}

fn list(state: &State, meant: &Meant, selector: &Selector) -> Value {
    let inner = state.lock();
    let items: Vec<&Value> = inner
        .objects
        .iter()
        .filter(|((kind, namespace, _), _)| kind == meant.kind && *namespace == meant.namespace)
        .map(|(_, object)| object)
        .filter(|object| selector.finds(object))
        .collect();
    json!({
        "kind": format!("{}List", meant.called),
        "apiVersion": "v1",
        "metadata": {"resourceVersion": inner.version.to_string()},
        "items": items,
    })
}

fn json_of(asked: &Asked) -> Result<Value, Refusal> {
    serde_json::from_slice(&asked.body)
        .map_err(|error| Refusal(400, "BadRequest", format!("the body is not JSON: {error}")))
}

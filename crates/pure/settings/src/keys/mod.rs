//! The one table of keys: what exists, where it may be given, its kind and its default. The checks, the
//! defaults and `docs/reference/settings.md` are all made from it.

mod cluster;
mod node;
mod postgresql;
mod stores;

pub(crate) use node::LEVELS;

/// One key that may be given.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its path, with `*` for any one name.
    pub path: &'static str,
    /// The layers in which it has an effect.
    pub scope: Scope,
    /// What its value must be.
    pub kind: Kind,
    /// Its default as text; empty when there is none.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whose word it is.
    pub origin: Origin,
}

/// The layers in which a key has an effect (contract §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The file and the environment of a member.
    Local,
    /// `/config` in the DCS.
    Dynamic,
    /// Both; the local one wins.
    Both,
}

/// Whose word a key is, and what it does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Patroni's, and it does the same here.
    Patroni,
    /// Patroni's; accepted, without effect in this version.
    Accepted,
    /// Ours, or of another Patroni than 4.1.
    Ours,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A mapping with keys of its own in this table.
    Section,
    /// A boolean.
    Flag,
    /// An integer in a range, both ends included.
    Whole(i64, i64),
    /// A size in bytes, at least this.
    Bytes(i64),
    /// A time in seconds, at least this.
    Seconds(i64),
    /// A time in seconds, at least this, or the word `never`.
    SecondsOrNever(i64),
    /// A file mode, octal with a leading zero.
    FileMode,
    /// Any scalar, as text.
    Text,
    /// A port, or several with commas, as text.
    Ports,
    /// Any scalar, never shown.
    Secret,
    /// One of some words, in any case.
    Choice(&'static [&'static str]),
    /// A list of texts; a text is split at commas.
    List,
    /// A list of lines; a text is split at line ends.
    Lines,
    /// A mapping of names to scalars.
    Texts,
    /// Options of a program: a list of `name` or `name: value`, or a mapping.
    Options,
    /// A mapping of anything.
    Mapping,
    /// Anything.
    Any,
}

/// All keys, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [node::KEYS, stores::KEYS, postgresql::KEYS, cluster::KEYS]
        .into_iter()
        .flatten()
}

/// The key at a path, if there is one. An exact name goes before a `*`.
pub(crate) fn find(path: &[String]) -> Option<&'static Key> {
    all()
        .filter(|key| key.matches(path))
        .min_by_key(|key| key.path.split('.').filter(|name| *name == "*").count())
}

/// The key of exactly this written path.
pub(crate) fn named(path: &str) -> Option<&'static Key> {
    let key = all().find(|key| key.path == path);
    debug_assert!(key.is_some(), "`{path}` is not in the table of keys");
    key
}

/// What an unknown key was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Similar {
    /// A key of the same section, by its name.
    Sibling(&'static str),
    /// A key of the same name in another section, by its path.
    Elsewhere(&'static str),
}

/// Proposes the key that an unknown one was meant to be.
pub(crate) fn similar_to(path: &[String], scope_of_document: Scope) -> Option<Similar> {
    let (name, section) = path.split_last()?;
    let fits = |key: &&Key| key.scope == Scope::Both || key.scope == scope_of_document;
    let spelled = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let allowed = (name.chars().count() / 3).max(1);
    let neighbour = all()
        .filter(fits)
        .filter(|key| key.parent_matches(section) && key.name() != "*")
        .map(|key| {
            (
                strsim::damerau_levenshtein(&spelled(name), &spelled(key.name())),
                key,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, key)) = neighbour {
        return Some(Similar::Sibling(key.name()));
    }
    let same_name = |key: &&Key| key.name() == name && !key.path.contains('*');
    let mut elsewhere = all().filter(fits).filter(same_name);
    match (elsewhere.next(), elsewhere.next()) {
        (Some(key), None) => Some(Similar::Elsewhere(key.path)),
        _ => None,
    }
}

impl Key {
    /// The last name of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    fn matches(&self, path: &[String]) -> bool {
        let mut names = self.path.split('.');
        let all_match = path.iter().all(|given| {
            names
                .next()
                .is_some_and(|name| name == "*" || name == given)
        });
        all_match && names.next().is_none()
    }

    fn parent_matches(&self, section: &[String]) -> bool {
        match self.path.rsplit_once('.') {
            None => section.is_empty(),
            Some((parent, _)) => Self {
                path: parent,
                ..*self
            }
            .matches(section),
        }
    }

    const fn ours(self) -> Self {
        Self {
            origin: Origin::Ours,
            ..self
        }
    }

    const fn accepted(self) -> Self {
        Self {
            origin: Origin::Accepted,
            ..self
        }
    }
}

/// A key with an effect in the local layer only.
const fn local(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        path,
        scope: Scope::Local,
        kind,
        default,
        meaning,
        origin: Origin::Patroni,
    }
}

/// A key with an effect in `/config` only.
const fn dynamic(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        path,
        scope: Scope::Dynamic,
        kind,
        default,
        meaning,
        origin: Origin::Patroni,
    }
}

/// A key with an effect in both layers.
const fn both(path: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key {
        path,
        scope: Scope::Both,
        kind,
        default,
        meaning,
        origin: Origin::Patroni,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn no_key_stands_twice_and_every_section_is_a_key() {
        let mut seen = std::collections::BTreeSet::new();
        for key in all() {
            assert!(seen.insert(key.path), "{} stands twice", key.path);
            if let Some((parent, _)) = key.path.rsplit_once('.') {
                // `a.*` stands for any section of `a`, of which there may be named ones only
                let sections = |other: &Key| {
                    let same = other.path.rsplit_once('.').map(|(holder, _)| holder);
                    other.path == parent || same.is_some() && same == parent.strip_suffix(".*")
                };
                let holder = all().find(|other| sections(other) && other.kind == Kind::Section);
                assert!(holder.is_some(), "{} is in no section", key.path);
            }
        }
    }

    #[test]
    fn a_slip_finds_its_key() {
        for (given, meant) in [
            ("postgresql.data_dri", Some(Similar::Sibling("data_dir"))),
            (
                "postgresql.conect_address",
                Some(Similar::Sibling("connect_address")),
            ),
            (
                "restapi.connect-address",
                Some(Similar::Sibling("connect_address")),
            ),
            ("etcd33", Some(Similar::Sibling("etcd3"))),
            (
                "use_pg_rewind",
                Some(Similar::Elsewhere("postgresql.use_pg_rewind")),
            ),
            (
                "bootstrap.users.admin.pasword",
                Some(Similar::Sibling("password")),
            ),
            ("postgresql.completely_different", None),
        ] {
            assert_eq!(similar_to(&path(given), Scope::Local), meant, "{given}");
        }
        let slip = similar_to(&path("looop_wait"), Scope::Dynamic);
        assert_eq!(slip, Some(Similar::Sibling("loop_wait")));
    }
}

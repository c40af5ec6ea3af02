//! `citus`: this cluster is one group of a distributed database (contract §20).

use std::collections::BTreeMap;

use super::Postgresql;
use crate::controlled::range_of;
use crate::reader::Reader;

const LIBRARIES: &str = "shared_preload_libraries";
const PREPARED: &str = "max_prepared_transactions";

/// One group of a Citus cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citus {
    /// The group: 0 is the coordinator, all others are workers.
    pub group: u32,
    /// The distributed database.
    pub database: String,
}

impl Citus {
    /// Reads section `citus`; of no use unless both keys are given.
    pub(crate) fn read(reader: &Reader<'_>) -> Option<Self> {
        let group = reader.given_whole("citus.group")?;
        Some(Self {
            group: group.try_into().ok()?,
            database: reader.given("citus.database")?,
        })
    }

    /// Says that a section is left out, and why.
    pub(crate) fn warn_of_half(reader: &mut Reader<'_>) {
        for (name, other) in [("group", "database"), ("database", "group")] {
            if reader.has(&format!("citus.{other}")) && !reader.has(&format!("citus.{name}")) {
                let problem = format!(
                    "is left out, and this is no part of a Citus cluster: `{name}` is missing; give both, or none"
                );
                reader.warn("citus", problem);
            }
        }
    }

    /// What Citus needs of PostgreSQL, in whatever role: its library before all others, transactions that can be prepared,
    /// WAL from which shards can be moved, and a name by which a node reaches itself.
    pub(crate) fn force(pg: &mut Postgresql) {
        let roles = &mut pg.role_parameters;
        for parameters in [
            &mut roles.primary,
            &mut roles.replica,
            &mut roles.standby_leader,
        ] {
            if let Some(libraries) = parameters.get_mut(LIBRARIES) {
                *libraries = with_citus(libraries);
            }
            parameters.remove("citus.local_hostname");
        }
        let libraries = pg.parameters.get(LIBRARIES).map_or("", String::as_str);
        let libraries = with_citus(libraries);
        pg.parameters.insert(LIBRARIES.to_owned(), libraries);
        let own = pg.listen.local_host().to_owned();
        pg.parameters.insert("citus.local_hostname".to_owned(), own);
        let controlled = &mut pg.controlled.command_line;
        controlled.insert("wal_level".to_owned(), "logical".to_owned());
        let number = |of: &BTreeMap<String, String>, name: &str| of.get(name)?.parse::<i64>().ok();
        if number(controlled, PREPARED) == Some(0)
            && let Some(connections) = number(controlled, "max_connections")
        {
            let most = range_of(PREPARED).map_or(i64::MAX, |(_, most)| most);
            let prepared = connections.saturating_mul(2).min(most);
            controlled.insert(PREPARED.to_owned(), prepared.to_string());
        }
    }
}

/// The list with Citus' library at its head, where it must be.
fn with_citus(libraries: &str) -> String {
    let others = libraries
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.trim_matches(['"', '\'']) != "citus");
    let all: Vec<&str> = ["citus"].into_iter().chain(others).collect();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_citus_goes_first_and_comes_once() {
        for (given, wanted) in [
            ("", "citus"),
            ("pg_stat_statements", "citus,pg_stat_statements"),
            ("a, citus ,b", "citus,a,b"),
            ("citus,a", "citus,a"),
        ] {
            assert_eq!(with_citus(given), wanted, "{given}");
        }
    }

    #[test]
    fn what_citus_needs_is_forced_and_what_is_given_otherwise_stays() {
        let mut pg = Postgresql::default();
        pg.role_parameters
            .replica
            .insert(LIBRARIES.into(), "auto_explain".into());
        let given = pg.controlled.command_line.clone();
        Citus::force(&mut pg);
        assert_eq!(pg.parameters[LIBRARIES], "citus");
        assert_eq!(pg.parameters["citus.local_hostname"], "localhost");
        assert_eq!(pg.role_parameters.replica[LIBRARIES], "citus,auto_explain");
        assert_eq!(pg.role_parameters.primary.len(), 0);
        let controlled = &mut pg.controlled.command_line;
        assert_eq!(controlled["wal_level"], "logical");
        assert_eq!(controlled[PREPARED], "200", "twice max_connections");
        assert_eq!(controlled.len(), given.len());

        controlled.insert(PREPARED.into(), "7".into());
        pg.listen.hosts = vec!["10.0.0.1".into()];
        Citus::force(&mut pg);
        assert_eq!(pg.controlled.command_line[PREPARED], "7");
        assert_eq!(pg.parameters["citus.local_hostname"], "10.0.0.1");
        let controlled = &mut pg.controlled.command_line;
        controlled.insert(PREPARED.into(), "0".into());
        controlled.insert("max_connections".into(), "262143".into());
        Citus::force(&mut pg);
        assert_eq!(
            pg.controlled.command_line[PREPARED], "262143",
            "no more than PostgreSQL takes"
        );
    }
}

//! One row of a list.

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{ClusterView, Lsn, MemberName, ServerVersion, WalBytes};
use pgherd_settings::value;
use serde_json::{Map, Value};

use super::Style;
use crate::cluster::shown_state;
use crate::role::ClusterRole;
use crate::table::Cell;
use crate::wanted::Wanted;

/// A reason longer than this is not shown in a frame.
const REASON_LETTERS_MAX: usize = 50;

/// What all rows of a list have in common.
pub(super) struct Facts<'a> {
    pub(super) cluster: &'a str,
    pub(super) view: &'a ClusterView,
    pub(super) wanted: &'a Wanted,
    pub(super) with_ports: bool,
    pub(super) style: Style,
}

/// The cells of a member, `depth` steps below the leader.
pub(super) fn row(name: &MemberName, depth: usize, facts: &Facts<'_>) -> Option<Vec<Cell>> {
    let doc = facts.view.members.get(name)?;
    let role = ClusterRole::of(name, facts.view, facts.wanted);
    let mut cells = vec![
        Cell::Text(facts.cluster.to_owned()),
        Cell::Text(indented(name, depth)),
        text(host(doc, facts.with_ports)),
        Cell::Text(role.title().to_owned()),
        Cell::Text(shown_state(doc, role)),
        doc.timeline
            .map_or(Cell::Empty, |timeline| Cell::Number(timeline.0.into())),
    ];
    cells.extend(positions(doc, role, facts.view.status.optime));
    cells.push(if doc.pending_restart {
        Cell::Text("*".to_owned())
    } else {
        Cell::Empty
    });
    cells.push(reasons(doc));
    cells.push(text(doc.scheduled_restart.as_ref().map(scheduled)));
    let tags: Map<String, Value> = doc
        .tags
        .iter()
        .map(|(name, tag)| (name.clone(), tag.clone()))
        .collect();
    cells.push(Cell::Map {
        map: tags,
        flow: facts.style.tree,
    });
    cells.push(text(doc.progress.clone()));
    Some(cells)
}

fn indented(name: &MemberName, depth: usize) -> String {
    match depth.checked_sub(1) {
        Some(steps) => format!("{}+ {name}", "  ".repeat(steps)),
        None => name.to_string(),
    }
}

fn host(doc: &MemberDoc, with_port: bool) -> Option<String> {
    let (host, port) = doc.address()?;
    Some(match (with_port, host.contains(':')) {
        (true, true) => format!("[{host}]:{port}"),
        (true, false) => format!("{host}:{port}"),
        (false, _) => host,
    })
}

/// Received and replayed position, each with its lag. Members of old versions tell one position only: it
/// counts as received when they stream, else as replayed.
fn positions(doc: &MemberDoc, role: ClusterRole, end: Option<Lsn>) -> [Cell; 4] {
    if role.leads() {
        return [Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty];
    }
    let (received, replayed) = match (doc.receive_lsn, doc.replay_lsn) {
        (None, None) if doc.replication_state.as_deref() == Some("streaming") => {
            (doc.xlog_location, None)
        }
        (None, None) => (None, doc.xlog_location),
        known => known,
    };
    let lsn = |lsn: Option<Lsn>| {
        Cell::Text(lsn.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string()))
    };
    let lag = |lsn: Option<Lsn>| match (lsn, end) {
        (Some(lsn), Some(end)) => Cell::Number(megabytes(lsn.behind(end))),
        (Some(_), None) => Cell::Text("unknown".to_owned()),
        (None, _) => Cell::Empty,
    };
    [lsn(received), lag(received), lsn(replayed), lag(replayed)]
}

/// Rounded to the nearest, a half to the even one.
const fn megabytes(bytes: WalBytes) -> u64 {
    const MEGABYTE: u64 = 1 << 20;
    let (whole, rest) = (bytes / MEGABYTE, bytes % MEGABYTE);
    let up = rest > MEGABYTE / 2 || (rest == MEGABYTE / 2 && whole % 2 == 1);
    whole + up as u64
}

fn reasons(doc: &MemberDoc) -> Cell {
    let lines = |hide: bool| {
        let reasons = doc.pending_restart_reason.iter().map(|(name, (old, new))| {
            let reason = format!("{name}: {old}->{new}");
            if hide && reason.chars().count() > REASON_LETTERS_MAX {
                format!("{name}: [hidden - too long]")
            } else {
                reason
            }
        });
        reasons.collect::<Vec<_>>().join("\n")
    };
    Cell::Short {
        shown: lines(true),
        full: lines(false),
    }
}

fn scheduled(restart: &Value) -> String {
    let at = restart
        .get("schedule")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    match restart.get("postgres_version").and_then(value::scalar) {
        // members of ours tell the number, such as 150009
        Some(version) => match version.parse().map(ServerVersion) {
            Ok(number) if number.major() > 0 => format!("{at} if version < {number}"),
            Ok(_) | Err(_) => format!("{at} if version < {version}"),
        },
        None => at.to_owned(),
    }
}

fn text(text: Option<String>) -> Cell {
    text.map_or(Cell::Empty, Cell::Text)
}

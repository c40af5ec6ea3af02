//! The tables of `list`, `topology` and `history` (contract §18.3).

mod history;
mod row;
mod tree;

use std::collections::BTreeSet;

use pgherd_domain::{ClusterView, sync_warnings};

pub use history::history;

use crate::table::{Cell, Column, Format, Table};
use crate::wanted::Wanted;
use row::{Facts, row};

/// How members are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Every column, also where no member has anything in it.
    pub extended: bool,
    /// As a tree: who replicates from whom.
    pub tree: bool,
    /// The group of a Citus cluster that this is.
    pub group: Option<u32>,
}

/// What every list shows.
const BASE: [Column; 10] = [
    Column::new("Cluster", false),
    Column::new("Member", false),
    Column::new("Host", false),
    Column::new("Role", false),
    Column::new("State", false),
    Column::new("TL", true),
    Column::new("Receive LSN", true),
    Column::headed("Receive Lag", "Lag", true),
    Column::new("Replay LSN", true),
    Column::headed("Replay Lag", "Lag", true),
];

/// What is shown when there is something in it, or all is asked for.
const EXTENDED: [Column; 4] = [
    Column::new("Pending restart", false),
    Column::new("Pending restart reason", false),
    Column::new("Scheduled restart", false),
    Column::new("Tags", false),
];

/// In the title of a frame, else a column behind the cluster's.
const GROUP: Column = Column::new("Group", true);

/// Ours: what a member is busy with. Shown only when there is something in it.
const PROGRESS: Column = Column::new("Progress", false);

/// The members of the cluster `name` as text, with what stands below the table.
pub fn members(name: &str, view: &ClusterView, style: Style, format: Format) -> String {
    let table = table(name, view, style);
    match format {
        Format::Pretty => {
            let mut framed = table;
            drop_first(&mut framed);
            let mut out = framed.pretty(Some(&title(name, view, style.group)));
            out.push_str(&notes(view));
            out
        }
        Format::Tsv | Format::Json | Format::Yaml => {
            let mut table = table;
            if let Some(group) = style.group {
                table.columns.insert(1, GROUP);
                for row in &mut table.rows {
                    row.insert(1, Cell::Number(group.into()));
                }
            }
            table.print(format, None, true)
        }
    }
}

/// The members of all groups of the Citus cluster `name` as text, with what stands below the table for each group.
pub fn groups(name: &str, groups: &[(u32, ClusterView)], style: Style, format: Format) -> String {
    let mut found = Vec::new();
    for (group, view) in groups {
        found.extend(rows(name, view, style).into_iter().map(|mut row| {
            row.insert(1, Cell::Number((*group).into()));
            row
        }));
    }
    let mut columns = columns();
    columns.insert(1, GROUP);
    let mut table = shown(columns, found, BASE.len() + 1, style);
    if format != Format::Pretty {
        return table.print(format, None, true);
    }
    drop_first(&mut table);
    let mut out = table.pretty(Some(&format!(" Citus cluster: {name} ")));
    for (group, view) in groups {
        let notes = notes(view);
        if !notes.is_empty() {
            out.push_str(&format!("Citus group: {group}\n{notes}"));
        }
    }
    out
}

/// The members of the cluster `name`, one row each.
pub fn table(name: &str, view: &ClusterView, style: Style) -> Table {
    shown(columns(), rows(name, view, style), BASE.len(), style)
}

fn rows(name: &str, view: &ClusterView, style: Style) -> Vec<Vec<Cell>> {
    let wanted = Wanted::of(view);
    let facts = Facts {
        cluster: name,
        view,
        wanted: &wanted,
        with_ports: needs_ports(view),
        style,
    };
    let order = if style.tree {
        tree::order(view)
    } else {
        view.members
            .keys()
            .map(|member| (member.clone(), 0))
            .collect()
    };
    order
        .iter()
        .filter_map(|(member, depth)| row(member, *depth, &facts))
        .collect()
}

fn columns() -> Vec<Column> {
    let mut columns: Vec<Column> = BASE.into();
    columns.extend(EXTENDED);
    columns.push(PROGRESS);
    columns
}

/// The columns that are worth it: the first `always`, those with something in them, and the extended ones on request.
fn shown(columns: Vec<Column>, rows: Vec<Vec<Cell>>, always: usize, style: Style) -> Table {
    let shown: Vec<bool> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let has_any = rows
                .iter()
                .any(|row| row.get(at).is_some_and(|cell| !cell.is_empty()));
            at < always || has_any || (style.extended && column.name != PROGRESS.name)
        })
        .collect();
    Table {
        columns: kept(columns, &shown),
        rows: rows.into_iter().map(|row| kept(row, &shown)).collect(),
    }
}

/// In a frame the cluster's name stands in the title.
fn drop_first(table: &mut Table) {
    table.columns.remove(0);
    for row in &mut table.rows {
        row.remove(0);
    }
}

fn kept<T>(items: Vec<T>, shown: &[bool]) -> Vec<T> {
    items
        .into_iter()
        .zip(shown)
        .filter_map(|(item, shown)| shown.then_some(item))
        .collect()
}

fn title(name: &str, view: &ClusterView, group: Option<u32>) -> String {
    let system_id = match view.initialize.as_ref().map(|key| key.value.as_str()) {
        None => "uninitialized",
        Some("") => "initializing",
        Some(system_id) => system_id,
    };
    match group {
        Some(group) => format!(" Citus cluster: {name} (group: {group}, {system_id}) "),
        None => format!(" Cluster: {name} ({system_id}) "),
    }
}

/// What stands below the table: pause, and a planned switchover.
fn notes(view: &ClusterView) -> String {
    let mut out = String::new();
    let wanted = Wanted::of(view);
    if wanted.pause {
        out.push_str(" Maintenance mode: on\n");
    }
    for warning in sync_warnings(view, &wanted.sync_outlook()) {
        out.push_str(&format!(" Warning: {warning}\n"));
    }
    if let Some(shortage) = view.zone_shortage() {
        out.push_str(&format!(" Warning: {shortage}\n"));
    }
    for (name, doc) in &view.members {
        if let Some(closed) = &doc.closed {
            out.push_str(&format!(" Warning: {name} is {closed}\n"));
        }
    }
    out.push_str(&slots_at_their_budget(view));
    if let Some(order) = &view.failover
        && let Some(schedule) = &order.value.scheduled_at
    {
        out.push_str(&format!(" Switchover scheduled at: {}\n", schedule.text));
        for (label, name) in [("from", &order.value.leader), ("to", &order.value.member)] {
            if let Some(name) = name {
                out.push_str(&format!("{label:>24}: {name}\n"));
            }
        }
    }
    out
}

/// Slots on the leader that keep three quarters or more of the WAL they may keep (`pgherd.slot_budget`).
fn slots_at_their_budget(view: &ClusterView) -> String {
    let budget = Wanted::of(view).slot_budget;
    let (Some(budget), Some(end)) = (budget, view.status.optime) else {
        return String::new();
    };
    let mut out = String::new();
    for (name, at) in &view.status.slots {
        let kept = at.behind(end);
        if kept.saturating_mul(4) >= budget.saturating_mul(3) {
            let megabytes = |bytes: u64| bytes / (1024 * 1024);
            out.push_str(&format!(
                " Slot {name} keeps {} MB of WAL, of {} MB it may keep\n",
                megabytes(kept),
                megabytes(budget)
            ));
        }
    }
    out
}

/// Ports are shown when they say something: one is unusual, or hosts repeat.
fn needs_ports(view: &ClusterView) -> bool {
    let addresses: Vec<(String, u16)> = view
        .members
        .values()
        .filter_map(|doc| doc.address())
        .collect();
    let hosts: BTreeSet<&str> = addresses.iter().map(|(host, _)| host.as_str()).collect();
    hosts.len() < addresses.len() || addresses.iter().any(|(_, port)| *port != 5432)
}

#[cfg(test)]
mod tests;

//! The table of `history`.

use pgherd_domain::documents::HistoryDoc;

use crate::table::{Cell, Column, Table};

/// The timelines that ended, oldest first.
pub fn history(doc: Option<&HistoryDoc>) -> Table {
    let columns = vec![
        Column::new("TL", true),
        Column::new("LSN", true),
        Column::new("Reason", false),
        Column::new("Timestamp", false),
        Column::new("New Leader", false),
    ];
    let text = |text: Option<&String>| text.map_or(Cell::Empty, |text| Cell::Text(text.clone()));
    let entries = doc.map_or(&[][..], |doc| &doc.entries);
    let rows = entries
        .iter()
        .map(|entry| {
            vec![
                Cell::Number(entry.timeline.0.into()),
                Cell::Number(entry.at.as_u64()),
                Cell::Text(entry.reason.clone()),
                text(entry.timestamp.as_ref()),
                text(entry.new_leader.as_ref()),
            ]
        })
        .collect();
    Table { columns, rows }
}

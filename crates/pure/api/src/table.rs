//! Tables of the command line: a frame for people, and TSV, JSON and YAML for programs (contract §18.3).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::json::spaced;
use crate::yaml;

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// In a frame.
    #[default]
    Pretty,
    /// A line of names, then tab-separated rows.
    Tsv,
    /// A list of maps on one line.
    Json,
    /// A list of maps, in block style.
    Yaml,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name for programs.
    pub name: Cow<'static, str>,
    /// What stands over it in a frame.
    pub heading: Cow<'static, str>,
    /// Its cells are numbers and stand at the right.
    pub right: bool,
}

impl Column {
    /// A column whose heading is its name.
    pub const fn new(name: &'static str, right: bool) -> Self {
        Self {
            name: Cow::Borrowed(name),
            heading: Cow::Borrowed(name),
            right,
        }
    }

    /// A column with another heading in a frame.
    pub const fn headed(name: &'static str, heading: &'static str, right: bool) -> Self {
        Self {
            name: Cow::Borrowed(name),
            heading: Cow::Borrowed(heading),
            right,
        }
    }

    /// A column of text whose name comes from outside.
    pub fn of_text(name: &str) -> Self {
        Self {
            name: Cow::Owned(name.to_owned()),
            heading: Cow::Owned(name.to_owned()),
            right: false,
        }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// Text, of several lines maybe.
    Text(String),
    /// Another text in a frame than elsewhere.
    Short {
        /// In a frame.
        shown: String,
        /// Elsewhere.
        full: String,
    },
    /// A number.
    Number(u64),
    /// A value of a query: as text in frames and rows, as it is in JSON and YAML.
    Value {
        /// In frames and rows.
        shown: String,
        /// In JSON and YAML.
        value: Value,
    },
    /// A mapping: YAML in block style in a frame, in flow style in TSV.
    Map {
        /// The mapping.
        map: Map<String, Value>,
        /// Flow style in the frame, too.
        flow: bool,
    },
}

impl Cell {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) | Self::Short { full: text, .. } => text.is_empty(),
            Self::Number(_) | Self::Value { .. } => false,
            Self::Map { map, .. } => map.is_empty(),
        }
    }

    fn in_frame(&self) -> String {
        match self {
            Self::Map { map, flow: false } if !map.is_empty() => {
                yaml::block(&map.clone().into()).trim_end().to_owned()
            }
            Self::Short { shown, .. } => shown.clone(),
            Self::Empty
            | Self::Text(_)
            | Self::Number(_)
            | Self::Value { .. }
            | Self::Map { .. } => self.in_row(),
        }
    }

    fn in_row(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) | Self::Short { full: text, .. } => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Value { shown, .. } => shown.clone(),
            Self::Map { map, .. } if map.is_empty() => String::new(),
            Self::Map { map, .. } => yaml::flow(&map.clone().into()),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Empty => "".into(),
            Self::Text(text) | Self::Short { full: text, .. } => text.clone().into(),
            Self::Number(number) => (*number).into(),
            Self::Value { value, .. } => value.clone(),
            Self::Map { map, .. } => map.clone().into(),
        }
    }
}

/// A table without its frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, as many cells in each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The table in a frame, with `title` in its upper edge. Ends with a line break.
    pub fn pretty(&self, title: Option<&str>) -> String {
        let rows: Vec<Vec<Vec<String>>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| lines_of(&cell.in_frame())).collect())
            .collect();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = rows.iter().filter_map(|row| row.get(at)).flatten();
                let widest = cells.map(|line| line.chars().count()).max();
                widest.unwrap_or(0).max(column.heading.chars().count())
            })
            .collect();
        let rule = rule(&widths);
        let mut out = with_title(&rule, title);
        let headings: Vec<Vec<String>> = self
            .columns
            .iter()
            .map(|column| vec![column.heading.clone().into_owned()])
            .collect();
        self.push_row(&headings, &widths, &mut out);
        out.push_str(&rule);
        // with several lines in a cell, rows can only be told apart by a rule
        let has_tall_rows = rows.iter().flatten().any(|cell| cell.len() > 1);
        for (at, row) in rows.iter().enumerate() {
            if has_tall_rows && at > 0 {
                out.push_str(&rule);
            }
            self.push_row(row, &widths, &mut out);
        }
        out.push_str(&rule);
        out
    }

    /// Names, then rows, with `delimiter` between cells. Ends with a line break.
    pub fn separated(&self, delimiter: &str) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        let mut out = names.join(delimiter);
        out.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::in_row).collect();
            out.push_str(&cells.join(delimiter));
            out.push('\n');
        }
        out
    }

    /// The rows as maps; empty cells are left out if `dense`.
    pub fn value(&self, dense: bool) -> Value {
        let row = |row: &Vec<Cell>| -> Value {
            let cells = self
                .columns
                .iter()
                .zip(row)
                .filter(|(_, cell)| !(dense && cell.is_empty()));
            let map: Map<String, Value> = cells
                .map(|(column, cell)| (column.name.clone().into_owned(), cell.value()))
                .collect();
            map.into()
        };
        self.rows.iter().map(row).collect()
    }

    /// The table in one of the formats, as the command line prints it.
    pub fn print(&self, format: Format, title: Option<&str>, dense: bool) -> String {
        match format {
            Format::Pretty => self.pretty(title),
            Format::Tsv => self.separated("\t"),
            Format::Json => format!("{}\n", spaced(&self.value(dense))),
            Format::Yaml => format!("{}\n", yaml::block(&self.value(dense))),
        }
    }

    fn push_row(&self, cells: &[Vec<String>], widths: &[usize], out: &mut String) {
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            out.push('|');
            for ((column, width), cell) in self.columns.iter().zip(widths).zip(cells) {
                let text = cell.get(line).map_or("", String::as_str);
                let padded = if column.right {
                    format!(" {text:>width$} |")
                } else {
                    format!(" {text:<width$} |")
                };
                out.push_str(&padded);
            }
            out.push('\n');
        }
    }
}

fn lines_of(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec![String::new()];
    }
    text.lines().map(without_tabs).collect()
}

/// Tabs as spaces up to the next eighth column: how wide a terminal shows a tab depends on where the cell begins.
fn without_tabs(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut column = 0;
    for letter in line.chars() {
        let width = if letter == '\t' { 8 - column % 8 } else { 1 };
        column += width;
        match letter {
            '\t' => text.extend(std::iter::repeat_n(' ', width)),
            letter => text.push(letter),
        }
    }
    text
}

fn rule(widths: &[usize]) -> String {
    let mut rule = String::from("+");
    for width in widths {
        rule.push_str(&"-".repeat(width + 2));
        rule.push('+');
    }
    rule.push('\n');
    rule
}

/// The upper edge with the title from its second character on, cut to the width of the table.
fn with_title(rule: &str, title: Option<&str>) -> String {
    let Some(title) = title else {
        return rule.to_owned();
    };
    let edge = rule.trim_end();
    let width = edge.chars().count();
    let titled: String = "+"
        .chars()
        .chain(title.chars())
        .chain(edge.chars().skip(1 + title.chars().count()))
        .take(width)
        .collect();
    format!("{titled}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_keep_the_columns_straight() {
        assert_eq!(
            lines_of("a\tb\n\t1234567\t8"),
            ["a       b", "        1234567 8"]
        );
    }
}

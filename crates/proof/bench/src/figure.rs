//! A measured figure: its samples, what it must reach, and the table of all figures.

use std::time::Duration;

/// Of the table.
const COLUMNS: usize = 8;

/// What a figure must reach, for the reader of the table; nothing is asserted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Must {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Nothing is promised.
    Nothing,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Unit of the samples.
    pub unit: &'static str,
    /// What the median must reach.
    pub must: Must,
    /// One per run.
    pub samples: Vec<f64>,
}

impl Figure {
    /// A figure without samples yet.
    #[must_use]
    pub fn new(name: &str, unit: &'static str, must: Must) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            must,
            samples: Vec::new(),
        }
    }

    /// Adds a duration, in seconds.
    pub fn add(&mut self, sample: Duration) {
        self.samples.push(sample.as_secs_f64());
    }

    /// Smallest, middle, 95th percentile (the nearest sample that is not below it) and largest.
    fn spread(&self) -> Option<[f64; 4]> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            *sorted.get(middle)?
        } else {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *sorted.get(middle)?)
        };
        let tail = (sorted.len() * 95).div_ceil(100).checked_sub(1)?;
        Some([
            *sorted.first()?,
            median,
            *sorted.get(tail)?,
            *sorted.last()?,
        ])
    }

    fn cells(&self) -> [String; COLUMNS] {
        let number = |value: f64| match self.unit {
            "/s" | "" => format!("{value:.0}"),
            _ => format!("{value:.2}"),
        };
        let (must, reached) = match (self.must, self.spread()) {
            (Must::Nothing, _) => (String::new(), ""),
            (Must::AtMost(limit), spread) => (
                format!("<= {}", number(limit)),
                spread.map_or(
                    "",
                    |[_, median, ..]| if median <= limit { "yes" } else { "no" },
                ),
            ),
            (Must::AtLeast(limit), spread) => (
                format!(">= {}", number(limit)),
                spread.map_or(
                    "",
                    |[_, median, ..]| if median >= limit { "yes" } else { "no" },
                ),
            ),
        };
        let spread = self.spread().map_or_else(
            || ["-", "not measured", "-", "-"].map(str::to_owned),
            |spread| spread.map(number),
        );
        let [min, median, tail, max] = spread;
        let unit = match self.unit {
            "" => String::new(),
            unit => format!(" [{unit}]"),
        };
        [
            format!("{}{unit}", self.name),
            self.samples.len().to_string(),
            min,
            median,
            tail,
            max,
            must,
            reached.to_owned(),
        ]
    }
}

/// All figures as a table of plain text.
#[must_use]
pub fn table(title: &str, figures: &[Figure]) -> String {
    let head = [
        "",
        "samples",
        "min",
        "median",
        "p95",
        "max",
        "must reach",
        "reached",
    ];
    let head = head.map(str::to_owned);
    let rows: Vec<[String; COLUMNS]> = std::iter::once(head)
        .chain(figures.iter().map(Figure::cells))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut text = format!("{title}\n");
    for row in &rows {
        let mut line = format!("  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Figure, Must, table};

    #[test]
    fn the_table_shows_spread_and_whether_the_median_is_good_enough() {
        let mut outage = Figure::new("outage", "s", Must::AtMost(1.0));
        outage.samples = vec![0.9, 1.4, 0.4];
        let mut rate = Figure::new("GET", "/s", Must::AtLeast(20_000.0));
        rate.samples = vec![10_000.0, 12_000.0];
        let text = table(
            "t",
            &[outage, rate, Figure::new("none", "s", Must::AtMost(1.0))],
        );
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[2],
            [
                "outage", "[s]", "3", "0.40", "0.90", "1.40", "1.40", "<=", "1.00", "yes"
            ]
        );
        assert_eq!(
            lines[3],
            [
                "GET", "[/s]", "2", "10000", "11000", "12000", "12000", ">=", "20000", "no"
            ]
        );
        assert_eq!(
            lines[4],
            [
                "none", "[s]", "0", "-", "not", "measured", "-", "-", "<=", "1.00"
            ]
        );
    }
    #[test]
    fn of_twenty_samples_the_95th_percentile_is_the_last_but_one() {
        let mut figure = Figure::new("outage", "s", Must::Nothing);
        figure.samples = (1..=20).map(f64::from).collect();
        assert_eq!(figure.spread(), Some([1.0, 10.5, 19.0, 20.0]));
    }
}

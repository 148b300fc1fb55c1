//! A table in plain text: columns as wide as their widest cell, two blanks between them.

use std::fmt;

/// Where a cell's text stands in its column.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a heading; prints itself, each row on a line of its own.
pub(crate) struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            aligns: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()],
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row has not as many cells as the table has columns.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.aligns.len(), "a row of another width: {row:?}");
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: &String| cell.chars().count();
        let widths: Vec<usize> = (0..self.aligns.len())
            .map(|column| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), full) in row.iter().zip(&self.aligns).zip(&widths) {
                let blanks = " ".repeat(full - width(cell));
                match align {
                    Align::Left => line.extend([cell, blanks.as_str(), "  "]),
                    Align::Right => line.extend([blanks.as_str(), cell, "  "]),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("step", Align::Left), ("time", Align::Right)]);
        table.push(vec!["a".into(), "10.5 s".into()]);
        table.push(vec!["größer".into(), "1 s".into()]);
        assert_eq!(table.to_string(), "step      time\na       10.5 s\ngrößer     1 s\n");
    }

    #[test]
    fn empty_table_is_its_heading() {
        assert_eq!(Table::new(&[("a", Align::Left), ("b", Align::Left)]).to_string(), "a  b\n");
    }

    #[test]
    #[should_panic(expected = "another width")]
    fn short_row_panics() {
        Table::new(&[("a", Align::Left), ("b", Align::Left)]).push(vec!["x".into()]);
    }
}

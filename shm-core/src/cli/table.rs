//! A table as text: in columns for people, or separated by tabs for programs; and sizes and times as people read them.

use unicode_width::UnicodeWidthStr;

use crate::cli::names::Plain;

/// One cell: what people see, and what programs get where that differs.
pub(crate) struct Cell {
    shown: String,
    exact: Option<String>,
    right: bool,
}

impl Cell {
    /// The same for both. Control characters are escaped.
    pub(crate) fn text(text: impl AsRef<str>) -> Cell {
        Cell { shown: Plain(text).to_string(), exact: None, right: false }
    }

    /// A number of bytes: with a unit for people, exact for programs.
    pub(crate) fn bytes(bytes: usize) -> Cell {
        Cell { shown: size(bytes as u64), exact: Some(bytes.to_string()), right: true }
    }
}

/// Rows of cells under a heading.
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table; without a heading if there are no titles.
    pub(crate) fn new(heading: &[&'static str]) -> Table {
        Table { heading: heading.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns as wide as their widest cell, under the heading.
    pub(crate) fn aligned(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.heading.len()]).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        let heading = self.heading.iter().copied();
        for (column, text) in heading
            .enumerate()
            .chain(self.rows.iter().flat_map(|row| row.iter().map(|cell| cell.shown.as_str()).enumerate()))
        {
            widths[column] = widths[column].max(text.width());
        }
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = (&str, bool)>| {
            let mut line = String::new();
            for ((cell, right), full) in cells.zip(&widths) {
                let blanks = " ".repeat(full - cell.width());
                line.extend(if right { [&blanks, cell, "  "] } else { [cell, &blanks, "  "] });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        };
        if !self.heading.is_empty() {
            let right = |column: usize| self.rows.first().is_some_and(|row| row[column].right);
            line(&mut self.heading.iter().enumerate().map(|(column, title)| (*title, right(column))));
        }
        for row in &self.rows {
            line(&mut row.iter().map(|cell| (cell.shown.as_str(), cell.right)));
        }
        text
    }

    /// Exact cells with tabs between them, and no heading.
    pub(crate) fn tabbed(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<&str> =
                row.iter().map(|cell| cell.exact.as_ref().unwrap_or(&cell.shown).as_str()).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }
}

/// A number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = "B";
    // What would be rounded to 1024.0 is 1.0 of the next unit.
    while value >= 1023.95
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        let sizes =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (8 << 30, "8.0 GiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn columns_and_tabs() {
        let mut table = Table::new(&["name", "size"]);
        table.push(vec![Cell::text("größer"), Cell::bytes(2048)]);
        table.push(vec![Cell::text("字\t"), Cell::bytes(1)]);
        assert_eq!(table.aligned(), "name       size\ngrößer  2.0 KiB\n字\\t        1 B\n");
        assert_eq!(table.tabbed(), "größer\t2048\n字\\t\t1\n");
        assert_eq!(Table::new(&["a", "b"]).aligned(), "a  b\n");
    }
}

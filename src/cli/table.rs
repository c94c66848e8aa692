//! Tables for people, as kubectl draws them: no borders, upper-case headers, two spaces between.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle};

use super::printable;

/// Columns as wide as their content, on one line each.
pub fn unwrapped(
    header: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
) -> String {
    render(&mut filled(header, rows))
}

/// The same, but the last column wraps so that a line is no wider than `width`.
pub fn wrapped(
    header: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
    width: u16,
) -> String {
    let mut table = filled(header, rows);
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    let last = header.len().saturating_sub(1);
    for column in table.column_iter_mut().take(last) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&mut table)
}

fn filled(
    header: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(header);
    for row in rows {
        // A line break within a cell would split its row.
        let cells = row
            .into_iter()
            .map(|cell| printable(&cell).replace('\n', " "));
        table.add_row(cells.collect::<Vec<_>>());
    }
    table
}

fn render(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 2]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn columns_are_two_spaces_apart_and_nothing_trails() {
        let table = unwrapped(&["NAME", "VALUE"], [row(["orders", "3"]), row(["x", ""])]);
        assert_eq!(table, "NAME    VALUE\norders  3\nx\n");
    }

    #[test]
    fn the_last_column_wraps() {
        let rows = [row(["a-long-key", "one two"])];
        let table = wrapped(&["KEY", "IS"], rows, 17);
        assert_eq!(table, "KEY         IS\na-long-key  one\n            two\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        let table = unwrapped(&["A", "B"], [row(["\u{1b}[31m", "two\nlines"])]);
        assert!(
            !table.contains('\u{1b}') && table.contains("two lines"),
            "{table}"
        );
    }
}

//! Tables for people: as wide as the terminal, numbers to the right.

use std::iter::repeat_n;

use serde_json::Value;

use super::rows::{cell, columns, flat, text};

/// A column is not cut below this.
const MIN_WIDTH: usize = 12;
const GAP: &str = "  ";

/// The width of the terminal on stdout, if it is known.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// A line per row, below the names of `columns`; all columns when none are named. Cells are cut to fit
/// into `width`.
pub(super) fn of_rows(rows: &[Value], named: &[&str], width: Option<usize>) -> String {
    let all: Vec<String>;
    let named = if named.is_empty() {
        all = columns(rows);
        all.iter().map(String::as_str).collect()
    } else {
        named.to_vec()
    };
    let head = named.iter().map(|name| name.to_uppercase()).collect();
    let body = rows.iter().map(|row| named.iter().map(|name| text(cell(row, name))).collect());
    let numeric = |name: &&str| {
        let mut values = rows.iter().map(|row| cell(row, name)).filter(|value| !value.is_null());
        values.clone().next().is_some() && values.all(Value::is_number)
    };
    let right: Vec<_> = named.iter().map(numeric).collect();
    lay_out(&std::iter::once(head).chain(body).collect::<Vec<_>>(), &right, width)
}

/// A line per field of an object that has a value, those of nested objects last, then a table for each
/// list of objects in it.
pub(super) fn of_fields(value: &Value, width: Option<usize>) -> String {
    let fields = flat(value);
    if fields.is_empty() {
        return text(value) + "\n";
    }
    let is_table = |value: &Value| {
        value.as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
    };
    let is_shown = |(_, value): &&(String, &Value)| !is_table(value) && !value.is_null();
    let mut plain: Vec<_> = fields.iter().filter(is_shown).collect();
    plain.sort_by_key(|(name, _)| name.contains('.'));
    let plain: Vec<_> =
        plain.into_iter().map(|(name, value)| vec![name.clone(), text(value)]).collect();
    let mut shown = lay_out(&plain, &[false, false], width);
    for (name, rows) in fields.iter().filter(|(_, value)| is_table(value)) {
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        shown += &format!("\n{name}\n{}", of_rows(rows, &[], width));
    }
    shown
}

fn lay_out(lines: &[Vec<String>], right: &[bool], limit: Option<usize>) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or_default();
    let longest = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let mut widths: Vec<_> = (0..count).map(longest).collect();
    if let Some(limit) = limit {
        fit(&mut widths, limit);
    }
    let mut shown = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).zip(right.iter().chain([&false].into_iter().cycle()));
        let cells = cells.map(|((cell, width), right)| padded(cell, *width, *right));
        shown.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        shown.push('\n');
    }
    shown
}

/// Takes from the widest columns until the line fits.
fn fit(widths: &mut [usize], limit: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > limit {
        match widths.iter_mut().max() {
            Some(widest) if *widest > MIN_WIDTH => *widest -= 1,
            _ => return,
        }
    }
}

fn padded(cell: &str, width: usize, right: bool) -> String {
    let length = cell.chars().count();
    if length > width {
        let kept = cell.chars().take(width.saturating_sub(1));
        return kept.chain(['…']).collect();
    }
    let space: String = repeat_n(' ', width - length).collect();
    if right { space + cell } else { cell.to_owned() + &space }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_text_to_the_left() {
        let rows = [json!({ "id": 7, "who": "ada" }), json!({ "id": 12, "who": null })];
        assert_eq!(of_rows(&rows, &["who", "id"], None), "WHO  ID\nada   7\n-    12\n");
    }

    #[test]
    fn the_widest_cells_are_cut_to_the_width_of_the_terminal() {
        let rows = [json!({ "id": 7, "text": "a sentence that is rather long" })];
        let shown = of_rows(&rows, &["id", "text"], Some(20));
        assert_eq!(shown, "ID  TEXT\n 7  a sentence that…\n");
    }

    #[test]
    fn fields_are_lines_and_lists_of_objects_are_tables() {
        let value = json!({ "ok": true, "at": { "day": "d" }, "rows": [{ "n": 1 }], "none": null });
        assert_eq!(of_fields(&value, None), "ok      true\nat.day  d\n\nrows\nN\n1\n");
        assert_eq!(of_fields(&json!(1.5), None), "1.5\n");
    }
}

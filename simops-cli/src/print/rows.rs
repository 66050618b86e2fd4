//! Values as cells and as CSV.

use jiff::Timestamp;
use serde_json::Value;

use crate::exit::Failure;

/// The fields of an object, those of nested objects under `outer.inner`.
pub(super) fn flat(value: &Value) -> Vec<(String, &Value)> {
    let Value::Object(fields) = value else { return Vec::new() };
    let flattened = fields.iter().flat_map(|(name, value)| {
        let inner = flat(value);
        if inner.is_empty() {
            return vec![(name.clone(), value)];
        }
        inner.into_iter().map(|(below, value)| (format!("{name}.{below}"), value)).collect()
    });
    flattened.collect()
}

/// Every column that a row has, in the order in which they appear.
pub(super) fn columns(rows: &[Value]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for (name, _) in rows.iter().flat_map(flat) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    columns
}

/// A row's cell, found by its flat name.
pub(super) fn cell<'a>(row: &'a Value, column: &str) -> &'a Value {
    let nested = || column.split('.').try_fold(row, |value, name| value.get(name));
    row.get(column).or_else(nested).unwrap_or(&Value::Null)
}

/// A value as people read it: times to the second, fractions to six digits.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(time) if text.contains('.') => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            _ => text.replace(['\n', '\t'], " "),
        },
        Value::Number(number) if number.is_f64() => {
            let text = format!("{:.6}", number.as_f64().unwrap_or_default());
            let text = text.trim_end_matches('0');
            let whole = text.strip_suffix('.').map(|whole| format!("{whole}.0"));
            whole.unwrap_or_else(|| text.to_owned())
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Rows with all their columns, or the `usual` ones if there is no row. A list in a cell is JSON, a missing value empty; a row that is no object
/// is a line of its own.
pub(super) fn csv(rows: &[Value], usual: &[&str]) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::new(format!("the result cannot be written: {why}"));
    let columns = match rows {
        [] => usual.iter().map(|column| (*column).to_owned()).collect(),
        rows => columns(rows),
    };
    let plain = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut write =
        |cells: Vec<String>| writer.write_record(cells).map_err(|error| failed(error.to_string()));
    if !columns.is_empty() {
        write(columns.clone())?;
    }
    for row in rows {
        write(match row {
            Value::Object(_) => columns.iter().map(|column| plain(cell(row, column))).collect(),
            value => vec![plain(value)],
        })?;
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_short_and_exact_enough_for_people() {
        let shown = |value: Value| text(&value);
        assert_eq!(shown(json!(null)), "-");
        assert_eq!(shown(json!(0.1 + 0.2)), "0.3");
        assert_eq!(shown(json!(1.0)), "1.0");
        assert_eq!(shown(json!("2026-03-01T12:00:00.123456Z")), "2026-03-01T12:00:00Z");
        assert_eq!(shown(json!("a\nb")), "a b");
        assert_eq!(shown(json!(["a", 2])), "a, 2");
    }

    #[test]
    fn csv_has_every_column_of_every_row_and_quotes_what_needs_it() {
        let rows = [json!({ "a": 1, "b": { "c": "x,y" } }), json!({ "a": null, "d": [1] })];
        let text = String::from_utf8(csv(&rows, &[]).unwrap_or_default()).unwrap_or_default();
        assert_eq!(text, "a,b.c,d\n1,\"x,y\",\n,,[1]\n");
        assert!(csv(&[], &[]).is_ok_and(|text| text.is_empty()));
        assert!(csv(&[], &["id", "state"]).is_ok_and(|text| text == b"id,state\n"));
    }
}

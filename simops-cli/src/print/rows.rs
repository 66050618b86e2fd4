//! Values as cells and as CSV.

use jiff::Timestamp;
use serde_json::{Map, Value};
use simops::csv::no_formula;

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

/// Rows with all their fields: the columns `named` first, then the others, so that they do not depend on what
/// a nested object holds. That and a list is JSON in one cell, a missing value empty; a row that is no object is
/// a line of its own.
pub(super) fn csv(rows: &[Value], named: &[&str]) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::new(format!("the result cannot be written: {why}"));
    let mut columns: Vec<_> = named.iter().map(|column| (*column).to_owned()).collect();
    for field in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(field) {
            columns.push(field.clone());
        }
    }
    let plain = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => no_formula(text),
        other => no_formula(&other.to_string()),
    };
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut write =
        |cells: Vec<String>| writer.write_record(cells).map_err(|error| failed(error.to_string()));
    if !columns.is_empty() {
        write(columns.iter().map(|column| no_formula(column)).collect())?;
    }
    for row in rows {
        write(match row {
            Value::Object(_) => columns.iter().map(|column| plain(cell(row, column))).collect(),
            value => vec![plain(value)],
        })?;
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// One object in a line, with the fields of nested objects; another value alone.
pub(super) fn csv_of_record(value: &Value) -> Result<Vec<u8>, Failure> {
    let fields = flat(value).into_iter().map(|(name, value)| (name, value.clone()));
    let row = if value.is_object() { Value::Object(fields.collect()) } else { value.clone() };
    csv(&[row], &[])
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
    fn csv_starts_no_formula() {
        let rows = [json!({ "=a": "=1+1", "b": -1.5, "c": "-x" })];
        let text = String::from_utf8(csv(&rows, &["=a", "b", "c"]).unwrap()).unwrap();
        assert_eq!(text, "'=a,b,c\n'=1+1,-1.5,'-x\n");
    }

    #[test]
    fn csv_has_the_same_columns_whatever_nested_objects_hold() {
        let text = |rows: &[Value], named: &[&str]| {
            String::from_utf8(csv(rows, named).unwrap_or_default()).unwrap_or_default()
        };
        let row = |nested: Value| json!({ "a": 1, "nested": nested, "z": "x,y" });
        let rows = [row(json!({ "b": [1] })), row(json!(null)), row(json!({ "c": "d" }))];
        assert_eq!(
            text(&rows, &["z", "nested.c"]),
            "z,nested.c,a,nested\n\"x,y\",,1,\"{\"\"b\"\":[1]}\"\n\"x,y\",,1,\n\"x,y\",d,1,\"{\"\"c\"\":\"\"d\"\"}\"\n"
        );
        assert_eq!(text(&[], &[]), "");
        assert_eq!(text(&[], &["id", "state"]), "id,state\n");
        let record = csv_of_record(&json!({ "a": { "b": 1 }, "c": [2] })).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&record), "a.b,c\n1,[2]\n");
    }
}

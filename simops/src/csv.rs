//! Lines of CSV files (RFC 4180).

/// A line of `cells`, each formatted already.
pub(crate) fn line(cells: &[String]) -> String {
    cells.join(",") + "\n"
}

/// Text from outside, prefixed so that a spreadsheet does not read it as a formula. Numbers stay as they
/// are. It is not quoted.
pub fn no_formula(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') if text.parse::<f64>().is_err() => {
            format!("'{text}")
        }
        _ => text.to_owned(),
    }
}

/// Formats text from outside as a cell: quoted where that is needed, and no formula.
pub(crate) fn cell(text: &str) -> String {
    let text = no_formula(text);
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_holds_any_text_and_starts_no_formula() {
        assert_eq!(cell("work"), "work");
        assert_eq!(cell("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("-1+1"), "'-1+1");
        assert_eq!(cell("-0.5"), "-0.5");
    }
}

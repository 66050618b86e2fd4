//! Labels of runs: names with values, by which runs are found and compared.

use std::collections::BTreeMap;

use crate::settings::validate::is_name;
use crate::text::{composed, is_hidden};
use crate::{Error, FieldError, Result};

/// The labels of a run: values by name.
pub type Labels = BTreeMap<String, String>;

/// The greatest number of labels of a run.
pub const MAX_LABELS: usize = 20;
/// The longest name of a label, in characters.
pub const MAX_LABEL_NAME_CHARS: usize = 64;
/// The longest value of a label, in characters.
pub const MAX_LABEL_VALUE_CHARS: usize = 120;

/// `labels` with trimmed values in normalisation form C.
///
/// # Errors
/// What is wrong with each label, or with their number.
pub(super) fn check(labels: &Labels) -> std::result::Result<Labels, Vec<FieldError>> {
    let mut wrong = Vec::new();
    let mut add = |field: String, message: String| wrong.push(FieldError { field, message });
    if labels.len() > MAX_LABELS {
        add("labels".to_owned(), format!("must be at most {MAX_LABELS}"));
    }
    let mut checked = Labels::new();
    for (name, value) in labels {
        let value = composed(value.trim());
        if !is_label_name(name) {
            let shown: String = name.chars().filter(|c| !is_hidden(*c)).take(80).collect();
            let message = format!(
                "the name of a label must be 1 to {MAX_LABEL_NAME_CHARS} characters of letters, digits, '_', '-'"
            );
            add(format!("labels.{shown}"), message);
        } else if let Some(message) = wrong_value(&value) {
            add(format!("labels.{name}"), message);
        }
        checked.insert(name.clone(), value);
    }
    if wrong.is_empty() { Ok(checked) } else { Err(wrong) }
}

/// The name and value in a filter such as `seed:3`.
///
/// # Errors
/// Returns `Invalid` for `field` when the text has another form.
pub(crate) fn parse_filter(field: &str, text: &str) -> Result<(String, String)> {
    let form = || {
        let message = "must be NAME:VALUE, the name of letters, digits, '_', '-', such as seed:3";
        Error::invalid(field, message)
    };
    let (name, value) = text.split_once(':').ok_or_else(form)?;
    let (name, value) = (name.trim(), composed(value.trim()));
    if !is_label_name(name) || wrong_value(&value).is_some() {
        return Err(form());
    }
    Ok((name.to_owned(), value))
}

fn is_label_name(name: &str) -> bool {
    // A filter splits name and value at the first colon.
    !name.is_empty() && is_name(name, MAX_LABEL_NAME_CHARS) && !name.contains(':')
}

fn wrong_value(value: &str) -> Option<String> {
    if value.is_empty() || value.chars().count() > MAX_LABEL_VALUE_CHARS {
        return Some(format!("must be 1 to {MAX_LABEL_VALUE_CHARS} characters"));
    }
    let hidden = value.chars().any(is_hidden);
    hidden.then(|| "must not contain control or format characters".to_owned())
}

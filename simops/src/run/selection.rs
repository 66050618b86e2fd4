//! Selections of runs: by id, by group and by labels.

use serde::{Deserialize, Serialize};

use super::Labels;
use super::labels::{check, parse_filter};
use crate::{Error, Result};

/// Which runs a baseline, digest or report covers: those for which all that is given holds. Nothing given
/// selects everything, also what happened outside of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct RunSelection {
    /// The run with this id.
    pub run_id: Option<String>,
    /// The runs of this group.
    pub group_id: Option<String>,
    /// The runs with all of these labels: values by name.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub labels: Labels,
}

/// A selection, and the number of runs that it selected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SelectedRuns {
    /// The selection.
    #[serde(flatten)]
    pub selection: RunSelection,
    /// The number of runs.
    pub selected: i64,
    /// The number of these runs that had not ended.
    pub open: i64,
}

impl RunSelection {
    /// The selection of the parameters of a query; each label is `NAME:VALUE`.
    ///
    /// # Errors
    /// Returns `Invalid` naming `label` for another form, and for two values of one name, which no run
    /// has.
    pub fn of_query(
        run_id: Option<&str>,
        group_id: Option<&str>,
        labels: &[String],
    ) -> Result<Self> {
        let mut values = Labels::new();
        for label in labels {
            let (name, value) = parse_filter("label", label)?;
            let other = values.insert(name.clone(), value.clone());
            if other.is_some_and(|other| other != value) {
                let message = format!("{name} has two values, but a run has one");
                return Err(Error::invalid("label", message));
            }
        }
        let selection = Self {
            run_id: run_id.map(str::to_owned),
            group_id: group_id.map(str::to_owned),
            labels: values,
        };
        selection.checked()
    }

    /// The selection with labels in normalisation form C. Empty texts are absent.
    ///
    /// # Errors
    /// Returns `Invalid` naming the labels that no run can have.
    pub fn checked(&self) -> Result<Self> {
        let given = |text: &Option<String>| {
            let text = text.as_deref().map(str::trim);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Self {
            run_id: given(&self.run_id),
            group_id: given(&self.group_id),
            labels: check(&self.labels).map_err(Error::invalid_fields)?,
        })
    }

    /// Whether it selects everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The labels, each as `NAME:VALUE`.
    pub fn label_filters(&self) -> impl Iterator<Item = String> {
        self.labels.iter().map(|(name, value)| format!("{name}:{value}"))
    }

    /// The runs in words, such as `run of group "pilot" with label "seed:3"`.
    pub(crate) fn described(&self) -> String {
        let mut words = vec!["run".to_owned()];
        words.extend(self.run_id.iter().map(|run_id| format!("{run_id:?}")));
        words.extend(self.group_id.iter().map(|group_id| format!("of group {group_id:?}")));
        let labels: Vec<_> = self.label_filters().map(|label| format!("{label:?}")).collect();
        words.extend((!labels.is_empty()).then(|| format!("with label {}", labels.join(" and "))));
        words.join(" ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_query_selects_by_all_that_it_gives() {
        let labels = ["seed:3", "model: a:b "].map(str::to_owned);
        let selection = RunSelection::of_query(Some(""), Some("pilot"), &labels).unwrap();
        assert_eq!((selection.run_id.as_deref(), selection.is_all()), (None, false));
        assert_eq!(selection.label_filters().collect::<Vec<_>>(), ["model:a:b", "seed:3"]);
        assert_eq!(
            selection.described(),
            "run of group \"pilot\" with label \"model:a:b\" and \"seed:3\""
        );
        assert!(RunSelection::of_query(None, Some(" "), &[]).unwrap().is_all());
    }

    #[test]
    fn labels_that_no_run_can_have_are_refused_by_name() {
        for labels in [&["seed"][..], &[":3"], &["a b:1"], &["seed:1", "seed:2"]] {
            let labels: Vec<_> = labels.iter().map(|label| (*label).to_owned()).collect();
            let error = RunSelection::of_query(None, None, &labels).unwrap_err();
            assert_eq!(error.fields()[0].field, "label", "{labels:?}");
        }
        let labels = Labels::from([("a b".to_owned(), "1".to_owned())]);
        let selection = RunSelection { labels, ..RunSelection::default() };
        assert_eq!(selection.checked().unwrap_err().fields()[0].field, "labels.a b");
    }
}

//! From a path to its route's pattern, for figures: few, however many paths are asked for.

use std::collections::HashSet;

use utoipa::openapi::OpenApi;

use crate::routes::PUBLIC;

/// What a path that is no route counts as.
const UNMATCHED: &str = "unmatched";

/// The patterns of all routes.
pub(crate) struct Patterns {
    fixed: HashSet<String>,
    with_parameters: Vec<String>,
}

impl Patterns {
    /// Those of the API described and the public ones.
    pub(crate) fn of(description: &OpenApi) -> Self {
        let admin = description.paths.paths.keys().cloned();
        let all = admin.chain(PUBLIC.iter().map(|path| (*path).to_owned()));
        let (with_parameters, fixed): (Vec<_>, Vec<_>) = all.partition(|p| p.contains('{'));
        Self { fixed: fixed.into_iter().collect(), with_parameters }
    }

    /// The pattern that `path` matches.
    pub(crate) fn of_path(&self, path: &str) -> &str {
        let known = self.fixed.get(path);
        let known = known.or_else(|| self.with_parameters.iter().find(|p| matches(p, path)));
        known.map_or(UNMATCHED, String::as_str)
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(rest), Some(_)) if rest.starts_with("{*") => return true,
            (Some(parameter), Some(text)) if parameter.starts_with('{') && !text.is_empty() => {}
            (Some(segment), Some(text)) if segment == text => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_match_one_segment_or_the_rest() {
        assert!(matches("/runs/{id}", "/runs/r1") && matches("/a/{v}/{*rest}", "/a/1/b/c"));
        for path in ["/runs", "/runs/", "/runs/r1/x", "/other/r1"] {
            assert!(!matches("/runs/{id}", path), "{path}");
        }
    }
}

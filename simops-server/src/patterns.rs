//! From a path to its route's pattern, for figures: few, however many paths are asked for.

use std::collections::HashMap;

use utoipa::openapi::OpenApi;

use crate::routes::PUBLIC;

/// What a path that is no route counts as.
const UNMATCHED: &str = "unmatched";

/// The patterns of all routes, by number.
#[derive(Debug)]
pub(crate) struct Patterns {
    all: Vec<String>,
    without_parameters: HashMap<String, usize>,
}

impl Patterns {
    /// Those of the API described and the public ones.
    pub(crate) fn of(description: &OpenApi) -> Self {
        let admin = description.paths.paths.keys().map(String::as_str);
        let all = [UNMATCHED].into_iter().chain(admin).chain(PUBLIC.iter().copied());
        let all: Vec<_> = all.map(str::to_owned).collect();
        let numbered = all.iter().cloned().zip(0..);
        let without_parameters = numbered.filter(|(pattern, _)| !pattern.contains('{')).collect();
        Self { all, without_parameters }
    }

    /// The patterns, in the order of their numbers.
    pub(crate) fn all(&self) -> &[String] {
        &self.all
    }

    /// The number of the pattern that `path` matches.
    pub(crate) fn number_of(&self, path: &str) -> usize {
        let known = self.without_parameters.get(path).copied();
        let found = || self.all.iter().position(|p| p.contains('{') && matches(p, path));
        known.or_else(found).unwrap_or_default()
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

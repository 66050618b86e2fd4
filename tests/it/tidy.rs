//! Checks of the source text that reviewers would otherwise have to make.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "vendor" {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

pub(crate) fn sources(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root(), endings, &mut found);
    assert!(!found.is_empty());
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_owned(), text)
        })
        .collect()
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for (path, text) in sources(&[".rs"]) {
        assert!(text.starts_with("//!"), "{} has no docs at its top", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!(", "unimplemented!(", "FIX", "XX", "dbg!(", "#[ign"];
    let endings = ["", "", "ME", "X", "", "ore"];
    for (path, text) in sources(&[".rs", ".js", ".css"]) {
        // A template of mktemp is no mark.
        let text = text.replace(&"X".repeat(6), "");
        for (word, ending) in words.iter().zip(endings) {
            let word = format!("{word}{ending}");
            let own = path.ends_with("tidy.rs");
            assert!(own || !text.contains(&word), "{} holds {word}", path.display());
        }
    }
}

#[test]
fn the_console_has_nothing_inline_and_asks_no_other_server() {
    for (path, text) in sources(&[".html", ".js", ".css"]) {
        for word in
            ["style=\"", "onclick=", "javascript:", "eval(", "innerHTML", "//cdn", "fetch(\"http"]
        {
            assert!(!text.contains(word), "{} holds {word}", path.display());
        }
    }
}

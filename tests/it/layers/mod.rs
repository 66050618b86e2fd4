//! The modules of every crate depend only downwards.
//!
//! ARCHITECTURE.md lists the modules of each crate from top to bottom. [`source`] reads what each file
//! imports; [`check`] holds it against the table and looks for circles between files.

mod check;
mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use check::problems;
use source::read;
use table::{Table, tables};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The crates of the workspace whose layers are checked: all but the tests themselves.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    let names = line.split('"').skip(1).step_by(2).map(str::to_owned);
    names.filter(|name| name != "tests").collect()
}

#[test]
fn the_modules_of_every_crate_depend_only_downwards() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let tables = tables(&text);
    let mut found = Vec::new();
    for name in crates() {
        match tables.iter().find(|table| table.name == name) {
            Some(table) => found.extend(problems(&read(&root().join(&name).join("src")), table)),
            None => found.push(format!("ARCHITECTURE.md has no table of layers for {name}")),
        }
    }
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
}

/// What is found in a crate of these files under a table with these rows.
fn found(rows: &[&[&str]], files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let rows = rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
    problems(&read(folder.path()), &Table { name: "demo".to_owned(), rows })
}

const LIB: (&str, &str) = ("lib.rs", "mod top; mod low; pub use low::Low;");

#[test]
fn downward_imports_pass() {
    let top = ("top.rs", "use crate::low::Low; fn f(_: Low) { crate::low::g() }");
    assert_eq!(found(&[&["top"], &["low"]], &[LIB, top, ("low.rs", "pub struct Low;")]), [""; 0]);
}

#[test]
fn an_upward_import_is_named_with_its_file_however_it_is_written() {
    for (low, imports) in [
        ("use crate::top::Top; pub struct Low(Top);", 1),
        ("use crate::{top::{self, Top as T}}; pub struct Low;", 2),
        ("pub struct Low(super::top::Top);", 1),
        ("pub fn low() { println!(\"{}\", crate::top::TEXT) }", 1),
        ("pub mod inner { use super::super::top::Top; }", 1),
    ] {
        let found =
            found(&[&["top"], &["low"]], &[LIB, ("top.rs", "pub struct Top;"), ("low.rs", low)]);
        assert_eq!(found.len(), imports, "{low}: {found:?}");
        let expected = "demo/src/low.rs imports `crate::top";
        for line in &found {
            assert!(line.starts_with(expected) && line.contains("stands above"), "{line}");
        }
    }
}

#[test]
fn an_import_through_a_name_of_the_crate_root_counts_for_its_module() {
    let lib = ("lib.rs", "mod top; mod low; pub use top::Top;");
    let found = found(
        &[&["top"], &["low"]],
        &[lib, ("top.rs", "pub struct Top;"), ("low.rs", "use crate::Top; fn f(_: Top) {}")],
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn files_that_import_each_other_are_a_circle_also_through_re_exports() {
    let top = ("top/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;");
    let a = ("top/a.rs", "use super::B; pub struct A(B);");
    let b = ("top/b.rs", "use super::A; pub struct B(Box<A>);");
    let found = found(&[&["top"], &["low"]], &[LIB, top, a, b, ("low.rs", "pub struct Low;")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("in a circle") && found[0].contains("demo/src/top/a.rs"),
        "{found:?}"
    );
}

#[test]
fn test_modules_may_import_what_they_like() {
    let low = "pub struct Low; #[cfg(test)] mod tests { use crate::top::Top; }";
    let files = [LIB, ("top.rs", "pub struct Top;"), ("low.rs", low)];
    assert_eq!(found(&[&["top"], &["low"]], &files), [""; 0]);
}

#[test]
fn a_module_without_a_row_and_a_row_without_a_module_are_named() {
    let files = [LIB, ("top.rs", ""), ("low.rs", "pub struct Low;")];
    let found = found(&[&["top"], &["gone"]], &files);
    assert_eq!(
        found,
        [
            "ARCHITECTURE.md lists the module `gone` of demo, which does not exist",
            "the module `low` of demo is missing from the table in ARCHITECTURE.md",
        ]
    );
}

#[test]
fn modules_of_one_row_do_not_import_each_other() {
    let files = [LIB, ("top.rs", "use crate::low::Low;"), ("low.rs", "pub struct Low;")];
    let found = found(&[&["top", "low"]], &files);
    assert!(found.len() == 1 && found[0].contains("the same row"), "{found:?}");
}

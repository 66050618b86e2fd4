//! What each file of a crate imports: `use` declarations, paths in code and in the arguments of macros,
//! resolved to the file that defines what they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// Module names from the crate's root.
type Names = Vec<String>;

/// The files of a crate.
#[derive(Debug)]
pub struct Source {
    pub files: Vec<File>,
    /// The file of each module; inline modules are part of the file they are written in.
    modules: BTreeMap<Names, usize>,
}

/// A file.
#[derive(Debug)]
pub struct File {
    /// Its path below `src`.
    pub path: String,
    /// Its module.
    pub module: Names,
    imported: Vec<Import>,
    paths: Vec<(Names, Names)>,
    defined: BTreeSet<String>,
}

#[derive(Debug)]
struct Import {
    /// The module it is written in.
    within: Names,
    path: Names,
    /// The name it is known by there; `None` for a glob.
    name: Option<String>,
    /// Whether it only passes the name on to other modules.
    exported: bool,
}

/// What one file needs of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The file that imports.
    pub from: usize,
    /// The file that defines what is imported.
    pub to: usize,
    /// The path from the crate's root as it is written.
    pub path: Names,
}

/// Reads the crates whose roots are `lib.rs` and `main.rs` in `src`.
pub fn read(src: &Path) -> Source {
    let mut source = Source { files: Vec::new(), modules: BTreeMap::new() };
    for root in ["lib.rs", "main.rs"] {
        if src.join(root).exists() && (root == "lib.rs" || !src.join("lib.rs").exists()) {
            source.load(src, root.to_owned(), Vec::new());
        }
    }
    assert!(!source.files.is_empty(), "{} has no crate", src.display());
    source
}

impl Source {
    fn load(&mut self, src: &Path, path: String, module: Names) {
        let text = fs::read_to_string(src.join(&path)).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let index = self.files.len();
        let file = File {
            path,
            module: module.clone(),
            imported: Vec::new(),
            paths: Vec::new(),
            defined: BTreeSet::new(),
        };
        self.files.push(file);
        self.modules.insert(module.clone(), index);
        let mut reader = Reader { within: module, file: &mut self.files[index], children: vec![] };
        reader.visit_file(&parsed);
        let children = reader.children;
        for (child, inline) in children {
            if inline {
                self.modules.insert(child, index);
                continue;
            }
            let stem = child.join("/");
            let candidates = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
            let path = candidates.into_iter().find(|path| src.join(path).exists());
            let path = path.unwrap_or_else(|| panic!("no file of the module {stem}"));
            self.load(src, path, child);
        }
    }

    /// The names of the modules at the crate's root.
    pub fn top_level(&self) -> BTreeSet<&str> {
        self.modules
            .keys()
            .filter(|names| names.len() == 1)
            .map(|names| names[0].as_str())
            .collect()
    }

    /// What every file needs of other files.
    pub fn dependencies(&self) -> BTreeSet<Dependency> {
        let mut all = BTreeSet::new();
        for (from, file) in self.files.iter().enumerate() {
            let imports = file.imported.iter().filter(|import| !import.exported);
            let imports = imports.map(|import| (&import.within, &import.path));
            let paths = file.paths.iter().map(|(within, path)| (within, path));
            for (within, path) in imports.chain(paths) {
                let Some(path) = self.absolute(from, within, path) else { continue };
                if let Some(to) = self.resolve(&path, 0).filter(|to| *to != from) {
                    all.insert(Dependency { from, to, path });
                }
            }
        }
        all
    }

    /// The path from the crate's root; `None` for what is defined elsewhere.
    fn absolute(&self, file: usize, within: &Names, path: &[String]) -> Option<Names> {
        let mut base = within.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" | "super" => {
                while let Some(step @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if step == "super" {
                        base.pop();
                    }
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = within.clone();
                child.push(first.to_owned());
                if !self.modules.contains_key(&child) {
                    let known = |import: &&Import| {
                        import.name.as_deref() == Some(first) && import.within == *within
                    };
                    let import = self.files[file].imported.iter().find(known)?;
                    if import.path.first().map(String::as_str) == Some(first) {
                        return None;
                    }
                    let mut path = self.absolute(file, within, &import.path)?;
                    path.extend_from_slice(&rest[1..]);
                    return Some(path);
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The file that defines what `path` names, through any number of re-exports.
    fn resolve(&self, path: &[String], depth: usize) -> Option<usize> {
        let depth = (depth < 8).then_some(depth + 1)?;
        let length = (0..=path.len()).rev().find(|n| self.modules.contains_key(&path[..*n]))?;
        let (module, rest) = path.split_at(length);
        let index = self.modules[module];
        let Some(name) = rest.first() else { return Some(index) };
        let file = &self.files[index];
        let here = || file.imported.iter().filter(|import| import.within == module);
        let follow = |import: &Import, rest: &[String]| {
            let mut path = self.absolute(index, &import.within, &import.path)?;
            path.extend_from_slice(rest);
            self.resolve(&path, depth)
        };
        if let Some(import) = here().find(|import| import.name.as_ref() == Some(name)) {
            return follow(import, &rest[1..]);
        }
        if !file.defined.contains(name) {
            let mut globs = here().filter(|import| import.name.is_none());
            let defines = |found: &usize| self.files[*found].defined.contains(name);
            if let Some(found) = globs.find_map(|import| follow(import, rest).filter(defines)) {
                return Some(found);
            }
        }
        Some(index)
    }
}

struct Reader<'a> {
    within: Names,
    file: &'a mut File,
    /// Child modules, and whether they are written inline.
    children: Vec<(Names, bool)>,
}

impl Reader<'_> {
    fn import(&mut self, tree: &UseTree, mut path: Names, exported: bool) {
        let (name, last) = match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                return self.import(&step.tree, path, exported);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path.clone(), exported));
                return;
            }
            UseTree::Name(name) => (Some(name.ident.to_string()), Some(name.ident.to_string())),
            UseTree::Rename(name) => (Some(name.rename.to_string()), Some(name.ident.to_string())),
            UseTree::Glob(_) => (None, None),
        };
        let this = last.as_deref() == Some("self") && !path.is_empty();
        let name = if this && name == last { path.last().cloned() } else { name };
        path.extend(last.filter(|_| !this));
        self.file.imported.push(Import { within: self.within.clone(), path, name, exported });
    }

    /// Paths in the arguments of a macro, which are tokens without a grammar.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Names::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if path.is_empty() || colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                other => {
                    self.path(std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.path(path);
    }

    fn path(&mut self, path: Names) {
        if !path.is_empty() {
            self.file.paths.push((self.within.clone(), path));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], _) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, Some(&item.ident)),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if attributes.iter().any(only_for_tests) {
            return;
        }
        if self.within == self.file.module {
            self.file.defined.extend(name.map(ToString::to_string));
        }
        match item {
            Item::Use(item) => {
                let exported = !matches!(item.vis, Visibility::Inherited);
                self.import(&item.tree, Names::new(), exported);
            }
            Item::Mod(item) => {
                self.within.push(item.ident.to_string());
                self.children.push((self.within.clone(), item.content.is_some()));
                visit::visit_item_mod(self, item);
                self.within.pop();
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }
}

/// Whether an attribute is `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn only_for_tests(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let text = list.tokens.to_string().replace(' ', "");
    list.path.is_ident("cfg") && (text == "test" || text.starts_with("all(test,"))
}

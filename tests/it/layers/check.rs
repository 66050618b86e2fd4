//! What is wrong with the dependencies of a crate, in sentences.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{Dependency, Source};
use super::table::Table;

/// Every problem of a crate.
pub fn problems(source: &Source, table: &Table) -> Vec<String> {
    let name = &table.name;
    let exist = source.top_level();
    let rank: BTreeMap<&str, usize> = (table.rows.iter().enumerate())
        .flat_map(|(rank, row)| row.iter().map(move |module| (module.as_str(), rank)))
        .collect();
    let gone = rank.keys().filter(|module| !exist.contains(*module)).map(|module| {
        format!("ARCHITECTURE.md lists the module `{module}` of {name}, which does not exist")
    });
    let missing = exist.iter().filter(|module| !rank.contains_key(*module)).map(|module| {
        format!("the module `{module}` of {name} is missing from the table in ARCHITECTURE.md")
    });
    let dependencies = source.dependencies();
    let mut found: Vec<String> = gone.chain(missing).collect();
    let upwards: BTreeSet<_> = dependencies
        .iter()
        .filter_map(|dependency| upward(source, name, &rank, dependency))
        .collect();
    found.extend(upwards);
    found.extend(circles(source, name, &dependencies));
    found
}

fn upward(
    source: &Source,
    name: &str,
    rank: &BTreeMap<&str, usize>,
    dependency: &Dependency,
) -> Option<String> {
    let from = source.files[dependency.from].module.first()?;
    let own = rank.get(from.as_str())?;
    // A path through a higher module is upwards even when that module only passes the name on.
    let written = dependency.path.first();
    let defined = source.files[dependency.to].module.first();
    let to = [written, defined]
        .into_iter()
        .flatten()
        .find(|to| *to != from && rank.get(to.as_str()).is_some_and(|other| other <= own))?;
    let place = if rank[to.as_str()] == *own {
        format!("is in the same row as `{from}`")
    } else {
        format!("stands above `{from}`")
    };
    let file = &source.files[dependency.from].path;
    let path = dependency.path.join("::");
    Some(format!(
        "{name}/src/{file} imports `crate::{path}`, but `{to}` {place} in ARCHITECTURE.md's table"
    ))
}

/// One sentence for each group of files that need each other.
fn circles(source: &Source, name: &str, dependencies: &BTreeSet<Dependency>) -> Vec<String> {
    let mut edges: BTreeMap<usize, BTreeMap<usize, &Dependency>> = BTreeMap::new();
    for dependency in dependencies {
        // A file may use what its parent module defines: they are one unit.
        let (from, to) = (&source.files[dependency.from], &source.files[dependency.to]);
        if from.module.starts_with(&to.module) {
            continue;
        }
        edges.entry(dependency.from).or_default().entry(dependency.to).or_insert(dependency);
    }
    let mut reported = BTreeSet::new();
    let mut found = Vec::new();
    for start in 0..source.files.len() {
        let Some(circle) = shortest_circle(&edges, start) else { continue };
        if circle.iter().any(|dependency| !reported.insert(dependency.from)) {
            continue;
        }
        let file = |index: usize| format!("{name}/src/{}", source.files[index].path);
        let steps = circle.iter().map(|dependency| {
            let path = dependency.path.join("::");
            format!("{} imports `crate::{path}` of {}", file(dependency.from), file(dependency.to))
        });
        let steps = steps.collect::<Vec<_>>().join(", ");
        found.push(format!("files import each other in a circle: {steps}"));
    }
    found
}

fn shortest_circle<'d>(
    edges: &BTreeMap<usize, BTreeMap<usize, &'d Dependency>>,
    start: usize,
) -> Option<Vec<&'d Dependency>> {
    let mut before: BTreeMap<usize, &Dependency> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for (to, dependency) in edges.get(&file).into_iter().flatten() {
            if before.contains_key(to) {
                continue;
            }
            before.insert(*to, dependency);
            if *to == start {
                let mut circle = vec![*dependency];
                while circle.last()?.from != start {
                    circle.push(before[&circle.last()?.from]);
                }
                circle.reverse();
                return Some(circle);
            }
            queue.push_back(*to);
        }
    }
    None
}

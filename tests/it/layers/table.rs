//! The tables of layers in ARCHITECTURE.md.

/// The modules of a crate from top to bottom; those of a row do not import each other.
#[derive(Debug)]
pub struct Table {
    /// The crate's folder.
    pub name: String,
    /// Module names, row by row.
    pub rows: Vec<Vec<String>>,
}

/// The tables of a text: the first below each heading ``### `crate` ``.
pub fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut reading = false;
    for line in text.lines() {
        if line.starts_with('#') {
            let name = line.strip_prefix("### ").and_then(|title| in_ticks(title).next());
            reading = name.is_some();
            tables.extend(name.map(|name| Table { name, rows: Vec::new() }));
        } else if let Some(row) = line.strip_prefix('|').filter(|_| reading) {
            let modules: Vec<_> = in_ticks(row.split('|').next().unwrap_or_default()).collect();
            if let Some(table) = tables.last_mut().filter(|_| !modules.is_empty()) {
                table.rows.push(modules);
            }
        }
    }
    tables
}

fn in_ticks(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

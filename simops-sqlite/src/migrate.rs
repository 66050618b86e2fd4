//! The schema: identifies the database and migrates it.

use rusqlite::Connection;
use simops::store::sql::pending_migrations;
use simops::{Error, ErrorKind};

use crate::error::Work;

/// Marks a database of simops in the file's header: "SiOp".
const APPLICATION_ID: i32 = 0x5369_4f70;

/// Each migrates the schema from its index to the next version. Append only.
const MIGRATIONS: [&str; 14] = [
    include_str!("../migrations/0001_control.sql"),
    include_str!("../migrations/0002_events.sql"),
    include_str!("../migrations/0003_usage.sql"),
    include_str!("../migrations/0004_world.sql"),
    include_str!("../migrations/0005_counting.sql"),
    include_str!("../migrations/0006_duties.sql"),
    include_str!("../migrations/0007_tallies.sql"),
    include_str!("../migrations/0008_kpi.sql"),
    include_str!("../migrations/0009_digests.sql"),
    include_str!("../migrations/0010_alerts.sql"),
    include_str!("../migrations/0011_kpi_folds.sql"),
    include_str!("../migrations/0012_retention.sql"),
    include_str!("../migrations/0013_kpi_runs.sql"),
    include_str!("../migrations/0014_production_mark.sql"),
];

/// The version of the schema; 0 for an empty database. Reads only, so that the file of another
/// program is not changed.
///
/// # Errors
/// `Unusable` for a database of another program or of a newer simops.
pub(crate) fn identify(connection: &Connection) -> Work<usize> {
    // In one transaction: a database that another process is creating must not look like another
    // program's.
    let snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction());
    let snapshot = snapshot.transpose()?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (id, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    drop(snapshot);
    match (id, usize::try_from(version)) {
        (APPLICATION_ID, Ok(version)) => {
            pending_migrations(&MIGRATIONS, version)?;
            Ok(version)
        }
        (0, Ok(0)) if tables == 0 => Ok(0),
        _ => refuse("the database of another program; name another file".to_owned()),
    }
}

/// Migrates the schema.
///
/// The version is read again under the write lock: of several processes that start at once, one
/// migrates. A crash leaves the old schema or the new one.
pub(crate) fn migrate(connection: &Connection) -> Work<()> {
    if identify(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = apply(connection);
    if !connection.is_autocommit() {
        connection.execute_batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    }
    migrated
}

fn apply(connection: &Connection) -> Work<()> {
    let version = identify(connection)?;
    for migration in pending_migrations(&MIGRATIONS, version)? {
        connection.execute_batch(migration)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(0))?;
    Ok(())
}

/// Checks that the schema is of the current version.
///
/// # Errors
/// `Unusable` otherwise.
pub(crate) fn check_current(connection: &Connection) -> Work<()> {
    let version = identify(connection)?;
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    refuse(format!(
        "the database was replaced by one of schema version {version}; restart simops to migrate it"
    ))
}

fn refuse<T>(detail: String) -> Work<T> {
    Err(Error::new(ErrorKind::Unusable, detail).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    /// A database of an older simops: the first `version` migrations.
    fn old(version: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..version] {
            connection.execute_batch(migration).unwrap();
        }
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        connection
    }

    #[test]
    fn events_of_an_older_database_are_classified_and_tallied() {
        let connection = old(6);
        for (uid, kind, agent, metadata, at) in [
            (1, "sanction", Some(3), r#"{"category":"conflict","enforcement":true}"#, 0),
            (
                2,
                "sanction",
                Some(3),
                r#"{"category":"conflict","enforcement":"yes"}"#,
                86_399_999_999,
            ),
            (3, "vote_cast", Some(3), r#"{"category":7}"#, 86_400_000_000),
            (4, "invalid_action", None, r#"{"category":""}"#, -1),
            (5, "work", None, "{}", 1),
            (6, "work", None, "{}", 2_i64),
        ] {
            let sql = "INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, \
                       metadata, created_at) VALUES (?1, 'r', ?2, ?3, '', '', ?4, ?5)";
            let uid = [u8::try_from(uid).unwrap()];
            let values = rusqlite::params![uid.as_slice(), agent, kind, metadata, at];
            connection.execute(sql, values).unwrap();
        }
        migrate(&connection).unwrap();
        let sql = "SELECT day || ' ' || event_type || ' ' || category || ' ' || enforcement || ' ' \
                   || count FROM event_days ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let rows: Vec<_> = rows.map(Result::unwrap).collect();
        assert_eq!(
            rows,
            [
                "1969-12-31 invalid_action invalid 0 1",
                "1970-01-01 sanction conflict 0 1",
                "1970-01-01 sanction conflict 1 1",
                "1970-01-01 work  0 2",
                "1970-01-02 vote_cast governance 0 1",
            ]
        );
    }

    #[test]
    fn visitors_of_an_older_database_are_folded() {
        let connection = old(10);
        connection
            .execute_batch(
                "INSERT INTO kpi_uids VALUES (x'02'), (x'01'); \
                 WITH RECURSIVE more (number) AS \
                     (SELECT 10 UNION ALL SELECT number + 1 FROM more WHERE number < 97) \
                 INSERT INTO kpi_uids SELECT unhex(printf('%02d', number)) FROM more; \
                 INSERT INTO kpi_steps VALUES (x'0a', 2, 5), (x'0b', 1, 6);",
            )
            .unwrap();
        migrate(&connection).unwrap();
        let all = |sql| {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(Result::unwrap).collect::<Vec<_>>()
        };
        // 58 in a row, in order.
        let runs = all("SELECT fold || ' ' || hex(first) || ' ' || hex(uids) FROM kpi_fold_runs");
        let uids = |from, to| (from..=to).map(|uid| format!("{uid:02}")).collect::<String>();
        assert_eq!(runs, [format!("1 01 0102{}", uids(10, 65)), format!("1 66 {}", uids(66, 97))]);
        assert_eq!(all("SELECT id || quote(filter) FROM kpi_folds"), ["1NULL"]);
        assert_eq!(all("SELECT day || hex(visitor) || steps FROM kpi_steps"), ["10B6", "20A5"]);
        let empty = old(10);
        migrate(&empty).unwrap();
        let folds: i64 =
            empty.query_row("SELECT count(*) FROM kpi_folds", [], |row| row.get(0)).unwrap();
        assert_eq!(folds, 0);
    }
}

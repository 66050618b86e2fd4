//! Old databases, and those of others.

use super::*;

/// A database of an older simops: the first `version` migrations.
fn old(version: usize) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for migration in &ALL[..version] {
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
        (2, "sanction", Some(3), r#"{"category":"conflict","enforcement":"yes"}"#, 86_399_999_999),
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
    migrate(&connection, &AtomicBool::new(false)).unwrap();
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
fn sums_and_rows_of_agents_with_numbers_are_kept() {
    let connection = old(22);
    connection
        .execute_batch(
            "INSERT INTO event_days VALUES ('2026-01-01', 'r', 'work', '', 7, 'economy', 0, 5), \
                 ('2026-01-01', '', 'note', '', -9223372036854775808, '', 1, 2); \
             INSERT INTO events (uid, run_id, agent_id, event_type, mode, description, metadata, \
                 created_at, category, enforcement) \
             VALUES (x'01', 'r', 7, 'work', '', '', '{}', 1, 'economy', 0);",
        )
        .unwrap();
    migrate(&connection, &AtomicBool::new(false)).unwrap();
    let all = |sql| {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    let days = "SELECT concat_ws('|', day, run_id, event_type, mode, agent_id, agent, category, \
                enforcement, count) FROM event_days ORDER BY run_id";
    let none = i64::MIN;
    assert_eq!(
        all(days),
        [format!("2026-01-01||note||{none}|||1|2"), "2026-01-01|r|work||7||economy|0|5".to_owned()]
    );
    assert_eq!(all("SELECT agent_id || quote(agent) FROM events"), ["7NULL"]);
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
    migrate(&connection, &AtomicBool::new(false)).unwrap();
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
    migrate(&empty, &AtomicBool::new(false)).unwrap();
    let folds: i64 =
        empty.query_row("SELECT count(*) FROM kpi_folds", [], |row| row.get(0)).unwrap();
    assert_eq!(folds, 0);
}

//! Upgrades of the schema under running processes, and commands that read an older one.

use std::path::Path;

use serde_json::json;
use simops_tests::postgres::{PostgresServer, TestDatabase};
use simops_tests::{ServerBuilder, cli, older};

/// A database whose schema is changed as other versions of simops would change it.
enum Place {
    Sqlite,
    Postgres(TestDatabase),
}

impl Place {
    fn both() -> [Self; 2] {
        [Self::Sqlite, Self::Postgres(PostgresServer::shared().database())]
    }

    fn url(&self, dir: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite://{}", dir.join("simops.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    fn sqlite(dir: &Path) -> rusqlite::Connection {
        rusqlite::Connection::open(dir.join("simops.db")).unwrap()
    }

    fn version(&self, dir: &Path) -> i64 {
        match self {
            Self::Sqlite => {
                let version = |row: &rusqlite::Row<'_>| row.get(0);
                Self::sqlite(dir).pragma_query_value(None, "user_version", version).unwrap()
            }
            Self::Postgres(database) => {
                database.sql("SELECT version FROM simops_schema").trim().parse().unwrap()
            }
        }
    }

    /// As a newer version that lets programs of `min_writer` write.
    fn migrate_further(&self, dir: &Path, min_writer: i64) {
        match self {
            Self::Sqlite => Self::sqlite(dir)
                .execute_batch(&format!(
                    "PRAGMA user_version = {}; UPDATE schema_writers SET min_writer = {min_writer}",
                    self.version(dir) + 1
                ))
                .unwrap(),
            Self::Postgres(database) => drop(database.sql(&format!(
                "UPDATE simops_schema SET version = version + 1, min_writer = {min_writer}"
            ))),
        }
    }

    /// As the last version without `min_writer`.
    fn migrate_back(&self, dir: &Path) {
        match self {
            Self::Sqlite => Self::sqlite(dir).execute_batch(older::SQLITE).unwrap(),
            Self::Postgres(database) => drop(database.sql(older::POSTGRES)),
        }
    }

    /// Adds a run as an earlier version stored it, which has ended.
    fn add_run(&self, dir: &Path, run_id: &str) {
        let insert = |began: &str| {
            format!(
                "INSERT INTO runs (run_id, mode, protocol_version, run_class, started_at, \
                     started_by, ended_at, end_reason, ended_by) \
                 VALUES ('{run_id}', 'test', 'protocol_v1', 'standard_72h', {began}, 'ada', \
                     {began}, 'over', 'operator')"
            )
        };
        match self {
            Self::Sqlite => {
                Self::sqlite(dir).execute_batch(&insert("1767225600000000")).unwrap();
            }
            Self::Postgres(database) => drop(database.sql(&insert("now()"))),
        }
    }

    /// All that is stored, as bytes of the file or rows.
    fn stored(&self, dir: &Path) -> Vec<u8> {
        match self {
            Self::Sqlite => std::fs::read(dir.join("simops.db")).unwrap(),
            Self::Postgres(database) => {
                let columns = "SELECT table_name, column_name, data_type FROM \
                               information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2";
                let schema = "SELECT * FROM simops_schema";
                format!("{}{}", database.sql(columns), database.sql(schema)).into_bytes()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_goes_on_after_an_upgrade_that_lets_it_write_and_refuses_after_another() {
    for place in Place::both() {
        let dir = tempfile::tempdir().unwrap();
        let builder = ServerBuilder::new(dir.path()).env("DATABASE_URL", &place.url(dir.path()));
        let server = builder.env("SIMOPS_HOST", "none").start().await;
        let known = place.version(dir.path());
        let start = json!({"mode": "test", "run_id": "upgraded"});
        server.client.post("control/run/start", &start).await.ok();

        place.migrate_further(dir.path(), known);
        server.client.post("control/pause", &json!({})).await.ok();

        place.migrate_further(dir.path(), known + 1);
        let refused = server.client.post("control/resume", &json!({})).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("newer simops") && detail.contains("upgrade"), "{detail}");
        let status = server.client.get("status").await.ok();
        assert_eq!(status["viewer_ops"]["simulation_paused"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_read_leave_an_older_schema_as_it_is_and_one_that_writes_migrates_it() {
    for place in Place::both() {
        let dir = tempfile::tempdir().unwrap();
        let url = place.url(dir.path());
        let builder = ServerBuilder::new(dir.path()).env("DATABASE_URL", &url);
        let server = builder.env("SIMOPS_HOST", "none").start().await;
        server.client.patch(&json!({"AGENT_LOOP_DELAY_SECONDS": 200})).await.ok();
        assert!(server.terminate().await);
        place.migrate_back(dir.path());
        place.add_run(dir.path(), "old");
        let before = place.stored(dir.path());
        for command in [
            "audit list",
            "audit verify",
            "run status",
            "run list",
            "run show old",
            "config get",
            "events list",
            "usage list",
            "usage verify",
            "kpi rollups",
            "kpi verify",
            "alert list",
            "digest list",
            "prune --older-than 1d --dry-run",
            "doctor",
        ] {
            let mut args: Vec<_> = command.split(' ').collect();
            args.extend(["--database-url", &url]);
            let output = cli(dir.path(), &args).await;
            let printed = String::from_utf8_lossy(&output.stderr);
            // The check of writes fails, and says what migrates the schema.
            assert_eq!(output.status.success(), command != "doctor", "{command}: {printed}");
            assert!(place.stored(dir.path()) == before, "{command} changed the database");
        }
        let pause = cli(dir.path(), &["run", "pause", "--database-url", &url]).await;
        assert!(pause.status.success(), "{}", String::from_utf8_lossy(&pause.stderr));
        assert!(place.stored(dir.path()) != before);
    }
}

//! A connection that prepares named statements only if its session is its own, and the process of the
//! server behind it.

use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Execute, Executor, Postgres, Row, SqlStr};

/// A connection of the pool.
#[derive(Debug)]
pub(crate) struct Link {
    live: PgConnection,
    owns_session: bool,
    /// When it was opened.
    pub(crate) opened: Instant,
    /// The process that serves it.
    pub(crate) process: ServerProcess,
    /// Whether a transaction was begun and not ended.
    pub(crate) in_transaction: bool,
}

impl Link {
    pub(crate) fn new(live: PgConnection, owns_session: bool) -> Self {
        let process = ServerProcess::default();
        Self { live, owns_session, opened: Instant::now(), process, in_transaction: false }
    }
}

/// A process of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerProcess {
    id: i32,
    /// When the server started: a process of another server may have the same id.
    server: String,
}

impl ServerProcess {
    /// Returns the process that runs it. Not to be prepared.
    pub(crate) const QUERY: &'static str =
        "SELECT pg_backend_pid()::text, pg_postmaster_start_time()::text";

    /// The process in a row of [`Self::QUERY`].
    pub(crate) fn read(row: &PgRow) -> sqlx::Result<Self> {
        let id = row.try_get::<String, _>(0)?.parse();
        let id = id.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Self { id, server: row.try_get(1)? })
    }

    /// Cancels the statements that `processes` run, on another connection.
    pub(crate) async fn cancel(processes: &[Self], link: &mut Link) -> sqlx::Result<()> {
        // As one message, which a pooler sends on as a whole: it could prepare a statement on one
        // session and run it on another.
        let rows =
            processes.iter().map(|Self { id, server }| format!("({id}, {})", quoted(server)));
        let rows = rows.collect::<Vec<_>>().join(", ");
        let cancel = format!(
            "SELECT pg_cancel_backend(id) FROM (VALUES {rows}) AS process (id, server) \
             WHERE server = pg_postmaster_start_time()::text"
        );
        link.execute(AssertSqlSafe(cancel)).await.map(drop)
    }
}

/// `text` as a literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl<'c> Executor<'c> for &'c mut Link {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let connection: &'c mut PgConnection = &mut self.live;
        match self.owns_session {
            true => connection.fetch_many(query),
            false => connection.fetch_many(Unnamed(query)),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let connection: &'c mut PgConnection = &mut self.live;
        match self.owns_session {
            true => connection.fetch_optional(query),
            false => connection.fetch_optional(Unnamed(query)),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let connection: &'c mut PgConnection = &mut self.live;
        connection.prepare_with(sql, parameters)
    }
}

/// A query with an unnamed statement, which ends with its transaction: a pooler may run the next one
/// on another session.
struct Unnamed<Q>(Q);

impl<'q, Q: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<Q> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

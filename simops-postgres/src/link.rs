//! A connection that knows whether its session stays: only then are statements kept prepared in it.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, Postgres, SqlStr};

/// A connection of the pool.
#[derive(Debug)]
pub(crate) struct Link {
    live: PoolConnection<Postgres>,
    session_stays: bool,
}

impl Link {
    pub(crate) fn new(live: PoolConnection<Postgres>, session_stays: bool) -> Self {
        Self { live, session_stays }
    }

    /// Closes it without a word.
    pub(crate) fn discard(self) {
        drop(self.live.detach());
    }
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
        match self.session_stays {
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
        match self.session_stays {
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

/// A query whose statement has no name: gone with its transaction, so that a pooler may lend the
/// next one another session.
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

//! Leader leases. The table is `duties`.

use async_trait::async_trait;

use super::{SqlRecord, SqlRow, SqlStore, Statement};
use crate::Result;
use crate::store::{LeaderLease, LeaderLeaseStore};

impl SqlRecord for LeaderLease {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            name: row.text()?,
            holder: row.optional(R::uuid)?,
            fence: row.int()?.cast_unsigned(),
            renewals: row.int()?.cast_unsigned(),
        })
    }
}

#[async_trait]
impl<S: SqlStore> LeaderLeaseStore for S {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        let sql = "SELECT duty, holder, fence, beat FROM duties WHERE duty = $1";
        self.fetch_optional(Statement::new(sql).bind(name)).await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        // The later of two rivals waits for the row and then finds it changed.
        let replace = Statement::new(match seen {
            None => {
                "INSERT INTO duties (holder, fence, beat, duty) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (duty) DO NOTHING"
            }
            Some(_) => {
                "UPDATE duties SET holder = $1, fence = $2, beat = $3 WHERE duty = $4 \
                 AND holder IS NOT DISTINCT FROM $5 AND fence = $6 AND beat = $7"
            }
        });
        let mut replace =
            replace.bind(next.holder).bind(next.fence).bind(next.renewals).bind(&next.name);
        if let Some(seen) = seen {
            replace = replace.bind(seen.holder).bind(seen.fence).bind(seen.renewals);
        }
        Ok(self.write(replace).await? == 1)
    }
}

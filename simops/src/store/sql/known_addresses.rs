//! Addresses from which a token was right.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{SqlOperation, SqlStore, SqlTx, Statement, count, upsert};
use crate::Result;
use crate::store::{KnownAddress, KnownAddressStore};

#[async_trait]
impl<S: SqlStore> KnownAddressStore for S {
    async fn known_address(&self, id: &str) -> Result<Option<Timestamp>> {
        let select = Statement::new("SELECT seen_at FROM known_addresses WHERE id = $1").bind(id);
        self.fetch_optional(select.control()).await
    }

    async fn save_known_address(&self, address: &KnownAddress, keep: usize) -> Result<()> {
        self.write(Save { address: address.clone(), keep }).await
    }
}

struct Save {
    address: KnownAddress,
    keep: usize,
}

impl SqlOperation for Save {
    type Output = ();

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<(), T::Error> {
        let put = Statement::new(upsert("known_addresses", "id", "id, seen_at"));
        tx.execute(&put.bind(&self.address.id).bind(self.address.seen_at)).await?;
        let delete = "DELETE FROM known_addresses WHERE id NOT IN \
                      (SELECT id FROM known_addresses ORDER BY seen_at DESC, id LIMIT $1)";
        tx.execute(&Statement::new(delete).bind(count(self.keep))).await?;
        Ok(())
    }
}

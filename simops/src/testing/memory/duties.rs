//! Duties.

use async_trait::async_trait;

use super::MemoryStore;
use crate::Result;
use crate::store::{DutyStore, Tenure};

#[async_trait]
impl DutyStore for MemoryStore {
    async fn tenure(&self, duty: &str) -> Result<Option<Tenure>> {
        Ok(self.data().duties.get(duty).cloned())
    }

    async fn move_tenure(&self, seen: Option<&Tenure>, next: &Tenure) -> Result<bool> {
        let mut data = self.data();
        let same = data.duties.get(&next.duty) == seen;
        if same {
            data.duties.insert(next.duty.clone(), next.clone());
        }
        Ok(same)
    }
}

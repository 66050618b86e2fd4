//! The audit trail: one row per changed value, each hashed over its predecessor.
//!
//! Editing, deleting or reordering a row breaks the chain; cutting rows off its end does not, so
//! [`verify`] also compares with a head stored elsewhere, such as the control state or a note.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One change of one value: actor, values, time and reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRow {
    /// Its place in the trail, from 1, without gaps.
    pub id: i64,
    /// The setting, or the key of another value, such as `WORLD_EPOCH` or `PRODUCTION_MARK`.
    pub key: String,
    /// The run whose state it is, of values that a run has.
    #[serde(default)]
    pub run_id: Option<String>,
    /// The value before.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub old_value: Value,
    /// The value after.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub new_value: Value,
    /// The actor; `system:…` for simops itself.
    pub changed_by: String,
    /// `development` or `production`.
    pub environment: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// When it changed.
    pub created_at: Timestamp,
    /// SHA-256 over the row and its predecessor's hash, in hex.
    pub hash: String,
}

/// The end of the trail: what a later verification compares with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditHead {
    /// The id of the last row; 0 when there is none.
    pub id: i64,
    /// The hash of the last row; empty when there is none.
    pub hash: String,
}

/// Why a trail does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Tampered {
    #[error("audit row {0} does not match its hash: it or a row before it was changed")]
    Edited(i64),
    #[error("audit row {expected} is missing: row {found} follows")]
    Gap { expected: i64, found: i64 },
    #[error(
        "the trail ends at row {found}, but row {remembered} was remembered: rows were cut off"
    )]
    Truncated { remembered: i64, found: i64 },
    #[error("row {0} has another hash than was remembered: the trail was rewritten")]
    Rewritten(i64),
}

impl AuditRow {
    /// The hash this row must have after `previous`.
    pub fn hash_after(&self, previous: &str) -> String {
        // An array of scalars has one JSON form, so the hash does not depend on the store.
        let mut content = vec![
            json!(previous),
            json!(self.id),
            json!(self.key),
            self.old_value.clone(),
            self.new_value.clone(),
            json!(self.changed_by),
            json!(self.environment),
            json!(self.reason),
            json!(self.created_at.as_microsecond()),
        ];
        // Rows of earlier versions have no run.
        content.extend(self.run_id.iter().map(|run_id| json!(run_id)));
        let digest = Sha256::digest(Value::from(content).to_string().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same row as the successor of `head`.
    #[must_use]
    pub fn chained(mut self, head: &AuditHead) -> Self {
        self.id = head.id + 1;
        self.hash = self.hash_after(&head.hash);
        self
    }

    /// The head when this row is the last.
    pub fn head(&self) -> AuditHead {
        AuditHead { id: self.id, hash: self.hash.clone() }
    }
}

/// A verification that reads the trail in pieces, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    head: AuditHead,
    remembered: Vec<AuditHead>,
}

impl Verifier {
    /// A verification that also compares with these heads.
    pub(crate) fn remembering(remembered: impl IntoIterator<Item = AuditHead>) -> Self {
        Self { head: AuditHead::default(), remembered: remembered.into_iter().collect() }
    }

    /// Checks the rows that follow.
    ///
    /// # Errors
    /// Returns the first fault.
    pub(crate) fn check(&mut self, rows: &[AuditRow]) -> Result<(), Tampered> {
        for row in rows {
            let expected = self.head.id + 1;
            if row.id != expected {
                return Err(Tampered::Gap { expected, found: row.id });
            }
            if row.hash != row.hash_after(&self.head.hash) {
                return Err(Tampered::Edited(row.id));
            }
            if self.remembered.iter().any(|seen| seen.id == row.id && seen.hash != row.hash) {
                return Err(Tampered::Rewritten(row.id));
            }
            self.head = row.head();
        }
        Ok(())
    }

    /// The verified head, once every row has been checked.
    ///
    /// # Errors
    /// Returns [`Tampered::Truncated`] when a remembered head lies beyond it.
    pub(crate) fn finish(self) -> Result<AuditHead, Tampered> {
        match self.remembered.iter().map(|head| head.id).max() {
            Some(remembered) if remembered > self.head.id => {
                Err(Tampered::Truncated { remembered, found: self.head.id })
            }
            _ => Ok(self.head),
        }
    }
}

/// Verifies a whole trail, oldest row first, against remembered heads.
///
/// # Errors
/// Returns the first fault.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn verify(
    rows: &[AuditRow],
    remembered: impl IntoIterator<Item = AuditHead>,
) -> Result<AuditHead, Tampered> {
    let mut verifier = Verifier::remembering(remembered);
    verifier.check(rows)?;
    verifier.finish()
}

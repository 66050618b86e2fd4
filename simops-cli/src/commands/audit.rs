//! `audit`: the audit trail and its verification.

use clap::Subcommand;
use simops::control::AuditHead;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::{get, read};

const COLUMNS: &[&str] =
    &["id", "created_at", "changed_by", "run_id", "key", "old_value", "new_value", "reason"];

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// List the changes, newest first
    #[command(after_help = "\
Examples:
  simops-cli audit list --limit 20
  simops-cli audit list --limit 20 --offset 20")]
    List {
        /// The greatest number of rows, 1 to 500
        #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
        limit: i64,
        /// The number of newest rows to skip
        #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
        offset: i64,
    },
    /// Recompute every row's hash; exit 1 when the trail does not verify
    #[command(after_help = "\
Examples:
  simops-cli audit verify
  simops-cli audit verify --head 17:9f2c…    (a head noted earlier)

A chain without its last rows still verifies. To detect that, keep the head that this command prints
outside of the database and pass it to the next verification.")]
    Verify {
        /// The head of the trail as an earlier verification printed it
        #[arg(long, value_name = "ID:HASH", value_parser = head)]
        head: Option<AuditHead>,
    },
}

pub(crate) async fn run(globals: &Globals, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List { limit, offset } => {
            let route = get("audit").with("limit", Some(limit)).with("offset", Some(offset));
            let changes = read(globals, route, async |ops| ops.audit(limit, offset).await).await?;
            print::show(&Output::list(changes, COLUMNS), globals.output)
        }
        AuditCommand::Verify { head } => {
            let route = get("audit/verify")
                .with("head_id", head.as_ref().map(|head| head.id))
                .with("head_hash", head.as_ref().map(|head| &head.hash));
            let mut answer = read(globals, route, async |ops| ops.verify_audit(head).await).await?;
            if let Some(fields) = answer.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            print::show(&Output::record(&answer), globals.output)?;
            if answer["ok"] == true {
                return Ok(());
            }
            let detail = answer["detail"].as_str().unwrap_or("the audit trail does not hold");
            Err(Failure::new(detail))
        }
    }
}

fn head(text: &str) -> Result<AuditHead, String> {
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let parsed = text.trim().split_once(':').and_then(|(id, hash)| {
        let id = id.parse::<i64>().ok().filter(|id| *id > 0)?;
        is_hash(hash).then(|| AuditHead { id, hash: hash.to_ascii_lowercase() })
    });
    parsed.ok_or_else(|| "must be a row's number, a colon and its hash of 64 hex digits".to_owned())
}

//! `audit`: the trail of who changed what, and whether it still holds.

use clap::Subcommand;
use simops::control::AuditHead;

use crate::args::Globals;
use crate::commands::ask;
use crate::exit::Failure;
use crate::print;
use crate::request::Request;
use crate::target::Target;

/// `audit …`.
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// List the changes, newest first
    #[command(after_help = "\
Examples:
  simops-cli audit list --limit 20
  simops-cli audit list --limit 20 --offset 20")]
    List {
        /// At most so many, 1 to 500
        #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
        limit: i64,
        /// Leave out so many of the newest
        #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
        offset: i64,
    },
    /// Recompute every row's hash; exit 1 when the trail does not hold
    #[command(after_help = "\
Examples:
  simops-cli audit verify
  simops-cli audit verify --head 17:9f2c…    (an end noted earlier)

Rows cut off the end leave a chain that holds. Note the head that this prints somewhere else, and
pass it next time: then they are missed.")]
    Verify {
        /// The trail's end as it was noted earlier
        #[arg(long, value_name = "ID:HASH", value_parser = head)]
        head: Option<AuditHead>,
    },
}

/// Runs `audit …`.
pub(crate) async fn run(globals: &Globals, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List { limit, offset } => {
            ask(globals, &Request::Audit { limit, offset }).await
        }
        AuditCommand::Verify { head } => {
            let target = Target::of(globals).await?;
            let mut answer = target.ask(&Request::VerifyAudit(head)).await?;
            if let Some(fields) = answer.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            print::json(&answer)?;
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

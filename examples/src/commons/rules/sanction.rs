//! Sanctions: an agent accuses another of breaking a law.

use serde_json::json;
use simops::{Error, Result};

use super::super::event_log::{category, kind};
use super::super::stock::Resource;
use super::ActionContext;
use super::talk::clean_title;

/// The highest fine.
const MAX_FINE: u32 = 4;

/// If the accused owns more than a cap allows, the excess, up to the highest fine, goes to the common
/// pool. Otherwise the accuser loses one energy.
pub(super) fn sanction(context: &mut ActionContext<'_>, accused: i64, reason: &str) -> Result<()> {
    let agent = context.agent;
    let reason = clean_title(reason)?;
    let cap_violation = context.society.cap_violation(context.other(accused)?);
    let upheld = cap_violation.is_some();
    let (description, fine) = match cap_violation {
        Some((law, resource, excess)) => {
            let fine = excess.min(MAX_FINE);
            context.society.agent_mut(accused)?.stock.take(resource, fine)?;
            context.society.common.pool.add(resource, fine);
            let description = format!(
                "Agent {accused} is fined {fine} {resource} under law {law}, accused by agent {agent}."
            );
            (description, json!({ "law_id": law, "resource": resource, "amount": fine }))
        }
        None => {
            let accuser = context.society.agent_mut(agent)?;
            accuser
                .stock
                .take(Resource::Energy, 1)
                .map_err(|_| Error::rejected("an accusation takes energy"))?;
            let text = format!("Agent {agent} accuses agent {accused}, but no law is broken.");
            (text, json!(null))
        }
    };
    let details = json!({
        "target_agent_id": accused,
        "upheld": upheld,
        "enforcement": upheld,
        "fine": fine,
        "reason": reason,
    });
    context.log.add(kind::SANCTION, category::CONFLICT, description, details);
    Ok(())
}

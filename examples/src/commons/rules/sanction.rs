//! Conflict: an agent accuses another. The law upholds the accusation or not.

use serde_json::json;

use super::super::stock::Resource;
use super::super::telling::{Category, kind};
use super::talk::short;
use super::{Refusal, Scene, Told};

/// A fine is at most so much.
const HIGHEST_FINE: u32 = 4;

/// What is beyond a cap goes to the common pool, up to the highest fine. An accusation without a
/// law costs the accuser one energy, which is lost.
pub(super) fn sanction(scene: &mut Scene<'_>, accused: i64, reason: &str) -> Told {
    let agent = scene.agent;
    let reason = short(reason)?;
    let breach = scene.society.breach(scene.other(accused)?);
    let upheld = breach.is_some();
    let (description, fine) = match breach {
        Some((law, resource, excess)) => {
            let fine = excess.min(HIGHEST_FINE);
            scene.society.agent_mut(accused)?.stock.take(resource, fine)?;
            scene.society.common.pool.add(resource, fine);
            let description =
                format!("Agent {agent} has agent {accused} fined {fine} {resource} by law {law}.");
            (description, json!({ "law_id": law, "resource": resource, "amount": fine }))
        }
        None => {
            let accuser = scene.society.agent_mut(agent)?;
            accuser
                .stock
                .take(Resource::Energy, 1)
                .map_err(|_| Refusal::because("a quarrel takes energy"))?;
            (format!("Agent {agent} quarrels with agent {accused}: no law is broken."), json!(null))
        }
    };
    let event = scene
        .telling
        .event(kind::SANCTION, Category::Conflict, description)
        .with("target_agent_id", accused)
        .with("upheld", upheld)
        .with("enforcement", upheld)
        .with("fine", fine)
        .with("reason", reason);
    Ok(vec![event])
}

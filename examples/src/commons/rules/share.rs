//! Trade and gifts. The total amount of goods does not change.

use serde_json::json;
use simops::{Error, Result};

use super::super::action::Offer;
use super::super::agent::Agent;
use super::super::event_log::{category, kind};
use super::super::stock::Resource;
use super::ActionContext;

/// The least amount of a good that an agent keeps when it trades.
const RESERVE: u32 = 2;

/// Whether `partner` accepts the offer: it keeps its reserve, and gets at least as much as it gives
/// or a good of which it owns less than the reserve.
pub(in super::super) fn would_accept(partner: &Agent, offer: Offer) -> bool {
    let keeps = partner.has(offer.want).checked_sub(offer.want_amount);
    let gains = offer.give_amount >= offer.want_amount || partner.has(offer.give) < RESERVE;
    keeps.is_some_and(|kept| kept >= RESERVE) && gains
}

pub(super) fn trade(context: &mut ActionContext<'_>, offer: Offer) -> Result<()> {
    let Offer { with, give, give_amount, want, want_amount } = offer;
    let agent = context.agent;
    let partner = context.other(with)?;
    if !partner.is_alive() {
        return Err(Error::rejected(format!("agent {with} is dormant and cannot trade")));
    }
    if give == want || give_amount == 0 || want_amount == 0 {
        return Err(Error::rejected(
            "a trade needs two different goods and amounts of at least one",
        ));
    }
    let accepted = would_accept(partner, offer);
    context.society.agent_mut(agent)?.stock.take(give, give_amount)?;
    let goods = format!("{give_amount} {give} for {want_amount} {want}");
    let (event_type, description) = if accepted {
        let partner = context.society.agent_mut(with)?;
        partner.stock.take(want, want_amount)?;
        partner.stock.add(give, give_amount);
        context.society.agent_mut(agent)?.stock.add(want, want_amount);
        (kind::TRADE, format!("Agent {agent} trades {goods} with agent {with}."))
    } else {
        context.society.agent_mut(agent)?.stock.add(give, give_amount);
        (kind::TRADE_DECLINED, format!("Agent {with} declines agent {agent}'s offer of {goods}."))
    };
    let details = json!({
        "target_agent_id": with,
        "accepted": accepted,
        "gave": { "resource": give, "amount": give_amount },
        "got": { "resource": want, "amount": want_amount },
    });
    context.log.add(event_type, category::ECONOMY, description, details);
    Ok(())
}

pub(super) fn gift(
    context: &mut ActionContext<'_>,
    to: i64,
    resource: Resource,
    amount: u32,
) -> Result<()> {
    let agent = context.agent;
    context.other(to)?;
    if amount == 0 {
        return Err(Error::rejected("a gift is at least one"));
    }
    context.society.agent_mut(agent)?.stock.take(resource, amount)?;
    context.society.agent_mut(to)?.stock.add(resource, amount);
    let description = format!("Agent {agent} gives {amount} {resource} to agent {to}.");
    let details = json!({ "target_agent_id": to, "resource": resource, "amount": amount });
    context.log.add(kind::GIFT, category::COOPERATION, description, details);
    Ok(())
}

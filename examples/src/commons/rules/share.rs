//! Trade and gifts: goods change hands, and none appear or vanish.

use serde_json::json;

use super::super::action::Offer;
use super::super::agent::Agent;
use super::super::stock::Resource;
use super::super::telling::{Category, kind};
use super::{Refusal, Scene, Told};

/// What an agent keeps of a good when it trades.
const RESERVE: u32 = 2;

/// Whether `partner` takes the offer: it keeps its reserve, and gets at least as much as it gives
/// or something it is short of.
pub(in super::super) fn would_accept(partner: &Agent, offer: Offer) -> bool {
    let keeps = partner.has(offer.want).checked_sub(offer.want_amount);
    let gains = offer.give_amount >= offer.want_amount || partner.has(offer.give) < RESERVE;
    keeps.is_some_and(|kept| kept >= RESERVE) && gains
}

pub(super) fn trade(scene: &mut Scene<'_>, offer: Offer) -> Told {
    let Offer { with, give, give_amount, want, want_amount } = offer;
    let agent = scene.agent;
    let partner = scene.other(with)?;
    if !partner.is_alive() {
        return Err(Refusal::because(format!("agent {with} is dormant and cannot trade")));
    }
    if give == want || give_amount == 0 || want_amount == 0 {
        return Err(Refusal::because("a trade is some of one good for some of another"));
    }
    let accepted = would_accept(partner, offer);
    scene.society.agent_mut(agent)?.stock.take(give, give_amount)?;
    let goods = format!("{give_amount} {give} for {want_amount} {want}");
    let (event_type, description) = if accepted {
        let partner = scene.society.agent_mut(with)?;
        partner.stock.take(want, want_amount)?;
        partner.stock.add(give, give_amount);
        scene.society.agent_mut(agent)?.stock.add(want, want_amount);
        (kind::TRADE, format!("Agent {agent} trades {goods} with agent {with}."))
    } else {
        scene.society.agent_mut(agent)?.stock.add(give, give_amount);
        (kind::TRADE_DECLINED, format!("Agent {with} declines agent {agent}'s offer of {goods}."))
    };
    let event = scene
        .telling
        .event(event_type, Category::Economy, description)
        .with("target_agent_id", with)
        .with("accepted", accepted)
        .with("gave", json!({ "resource": give, "amount": give_amount }))
        .with("got", json!({ "resource": want, "amount": want_amount }));
    Ok(vec![event])
}

pub(super) fn gift(scene: &mut Scene<'_>, to: i64, resource: Resource, amount: u32) -> Told {
    let agent = scene.agent;
    scene.other(to)?;
    if amount == 0 {
        return Err(Refusal::because("a gift is at least one"));
    }
    scene.society.agent_mut(agent)?.stock.take(resource, amount)?;
    scene.society.agent_mut(to)?.stock.add(resource, amount);
    let description = format!("Agent {agent} gives {amount} {resource} to agent {to}.");
    let event = scene
        .telling
        .event(kind::GIFT, Category::Cooperation, description)
        .with("target_agent_id", to)
        .with("resource", resource.as_str())
        .with("amount", amount);
    Ok(vec![event])
}

//! The fallback rule: chooses an action if no model does. Urgent needs come first; otherwise one of
//! the possible actions is drawn, weighted by the agent's character and the situation.

use super::action::{Action, Offer, Vote};
use super::agent::{Agent, Condition};
use super::law::{MIN_CAP, Rule, TAX_FREE_AMOUNT};
use super::phrases;
use super::rng::{Purpose, SeededRng};
use super::rules::would_accept;
use super::society::Society;
use super::stock::Resource;

/// An agent gives or sells a good of which it owns at least this much.
const SURPLUS: u32 = 6;
/// An agent works for a good of which it owns at most this much.
const SCARCE: u32 = 1;
/// Agents make proposals while fewer than this are open.
const MIN_OPEN_PROPOSALS: usize = 3;
/// An agent that owns at least this much of a good may be accused without a law.
const ENVY_THRESHOLD: u32 = 10;

/// Possible actions and their weights.
type Options = Vec<(u32, Action)>;

/// Chooses the action of agent `number`, which must not be dead. The action is always possible.
pub(super) fn choose(society: &Society, number: i64, rng: &mut SeededRng) -> Action {
    let Some(me) = society.agents.get(&number).filter(|agent| agent.is_alive()) else {
        return Action::Rest {};
    };
    if let Some(action) = urgent_work(society, me) {
        return action;
    }
    let mut options = Options::new();
    vote(society, me, rng, &mut options);
    propose(society, me, rng, &mut options);
    talk(society, me, rng, &mut options);
    trade(society, me, rng, &mut options);
    give(society, me, rng, &mut options);
    accuse(society, me, rng, &mut options);
    work(me, &mut options);
    rng.pick_weighted(options).unwrap_or(Action::Rest {})
}

/// Work that an agent short of energy or food does first. Careless agents wait longer.
fn urgent_work(society: &Society, me: &Agent) -> Option<Action> {
    let careless = trait_percentile(society, me, Trait::Careless) < 40;
    let (enough_energy, enough_food) = if careless { (SCARCE, 0) } else { (SCARCE + 1, SCARCE) };
    if me.has(Resource::Energy) <= enough_energy {
        Some(Action::Work { resource: Resource::Energy })
    } else if me.has(Resource::Food) <= enough_food || me.days_hungry > 0 {
        Some(Action::Work { resource: Resource::Food })
    } else {
        None
    }
}

fn vote(society: &Society, me: &Agent, rng: &mut SeededRng, options: &mut Options) {
    let open = society.open_proposals().filter(|open| !open.votes.contains_key(&me.number));
    let open: Vec<_> = open.map(|proposal| (proposal.id, proposal.rule)).collect();
    if let Some((proposal, rule)) = rng.pick(&open) {
        let vote = if supports(society, me, rule) { Vote::Yes } else { Vote::No };
        options.push((45, Action::Vote { proposal, vote }));
    }
}

/// Whether the agent supports a rule. This depends on what it owns and on its character.
fn supports(society: &Society, me: &Agent, rule: Rule) -> bool {
    let owned = me.has(rule.resource());
    let percent = match rule {
        Rule::WorkBonus { .. } => 85,
        Rule::Tithe { .. } if owned <= TAX_FREE_AMOUNT => 75,
        Rule::Tithe { .. } => 40,
        Rule::Cap { limit, .. } if owned * 2 > limit => 35,
        Rule::Cap { .. } => 65,
    };
    let of = match rule {
        Rule::WorkBonus { .. } => Trait::Diligent,
        Rule::Tithe { .. } => Trait::Sharing,
        Rule::Cap { .. } => Trait::Equal,
    };
    trait_percentile(society, me, of) < percent
}

fn propose(society: &Society, me: &Agent, rng: &mut SeededRng, options: &mut Options) {
    let open = society.open_proposals().count();
    if open >= MIN_OPEN_PROPOSALS || society.open_proposals().any(|open| open.author == me.number) {
        return;
    }
    let rules = Resource::ALL.into_iter().flat_map(|resource| {
        [
            Rule::WorkBonus { resource },
            Rule::Tithe { resource, percent: 20 },
            Rule::Cap { resource, limit: MIN_CAP + 4 },
        ]
    });
    // Energy keeps agents awake, so it is never taxed or capped.
    let acceptable =
        |rule: &Rule| matches!(rule, Rule::WorkBonus { .. }) || rule.resource() != Resource::Energy;
    let candidates: Vec<Rule> =
        rules.filter(|rule| acceptable(rule) && !society.has_similar_rule(*rule)).collect();
    if let Some(law) = rng.pick(&candidates) {
        let weight = if open == 0 { 60 } else { 8 };
        options.push((weight, Action::Propose { title: phrases::proposal_title(law), law }));
    }
}

fn talk(society: &Society, me: &Agent, rng: &mut SeededRng, options: &mut Options) {
    let (title, text) = phrases::topic(society, me, rng);
    let weight = if society.forum.posts.len() < 3 { 40 } else { 10 };
    options.push((weight, Action::ForumPost { title, text }));
    let others = society.forum.posts.iter().rev().filter(|post| post.author != me.number);
    let others: Vec<_> = others.take(8).map(|post| (post.thread, post.author)).collect();
    if let Some((thread, author)) = rng.pick(&others) {
        options.push((12, Action::ForumReply { thread, text: phrases::reply(author, rng) }));
    }
    if let Some(to) = rng.pick(&others_of(society, me, |_| true)) {
        options.push((6, Action::DirectMessage { to, text: phrases::letter(me, rng) }));
    }
}

/// Offers two of the good it owns most of for two of the good it owns least of.
fn trade(society: &Society, me: &Agent, rng: &mut SeededRng, options: &mut Options) {
    let most = Resource::ALL.into_iter().max_by_key(|resource| me.has(*resource));
    let least = Resource::ALL.into_iter().min_by_key(|resource| me.has(*resource));
    let (Some(give), Some(want)) = (most, least) else { return };
    if give == want || me.has(give) < SURPLUS {
        return;
    }
    let offer_to = |with| Offer { with, give, give_amount: 2, want, want_amount: 2 };
    let willing = |other: &Agent| other.is_alive() && would_accept(other, offer_to(other.number));
    if let Some(with) = rng.pick(&others_of(society, me, willing)) {
        options.push((14, Action::Trade(offer_to(with))));
    }
}

/// Offers food to agents without any, or energy to dormant agents.
fn give(society: &Society, me: &Agent, rng: &mut SeededRng, options: &mut Options) {
    let generous = trait_percentile(society, me, Trait::Sharing) < 50;
    for resource in [Resource::Food, Resource::Energy] {
        let needy = |other: &Agent| {
            other.has(resource) == 0
                && (resource == Resource::Food || other.state == Condition::Dormant)
        };
        if me.has(resource) < SURPLUS - 2 {
            continue;
        }
        if let Some(to) = rng.pick(&others_of(society, me, needy)) {
            let weight = if generous { 16 } else { 4 };
            options.push((weight, Action::Gift { to, resource, amount: 2 }));
        }
    }
}

fn accuse(society: &Society, me: &Agent, rng: &mut SeededRng, options: &mut Options) {
    let breaks_law = |other: &Agent| society.cap_violation(other).is_some();
    if let Some(agent) = rng.pick(&others_of(society, me, breaks_law)) {
        let reason = "You own more than the law allows.".to_owned();
        options.push((12, Action::Sanction { agent, reason }));
    }
    let is_rich = |other: &Agent| Resource::ALL.into_iter().any(|r| other.has(r) >= ENVY_THRESHOLD);
    if let Some(agent) = rng.pick(&others_of(society, me, is_rich)) {
        let reason = "No agent needs that much.".to_owned();
        options.push((2, Action::Sanction { agent, reason }));
    }
}

fn work(me: &Agent, options: &mut Options) {
    let scarcer = if me.has(Resource::Food) <= me.has(Resource::Energy) {
        Resource::Food
    } else {
        Resource::Energy
    };
    let weight = if me.has(scarcer) < SURPLUS { 14 } else { 3 };
    options.push((weight, Action::Work { resource: scarcer }));
    options.push((8, Action::Work { resource: Resource::Materials }));
    options.push((3, Action::Rest {}));
}

fn others_of(society: &Society, me: &Agent, fits: impl Fn(&Agent) -> bool) -> Vec<i64> {
    let others = society.living().filter(|other| other.number != me.number && fits(other));
    others.map(|other| other.number).collect()
}

/// A character trait.
#[derive(Clone, Copy)]
enum Trait {
    Careless = 1,
    Diligent,
    Sharing,
    Equal,
}

/// The agent's percentile in a trait, 0 to 99; constant for the life of the agent.
fn trait_percentile(society: &Society, me: &Agent, of: Trait) -> u32 {
    SeededRng::new(society.common.seed, Purpose::Opinion, me.number, of as i64).below(100)
}

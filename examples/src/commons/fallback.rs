//! What an agent does when no model answers: its needs first, then what its temper and the moment
//! suggest. Whatever this rule chooses is possible.

use super::action::{Action, Offer, Vote};
use super::agent::{Agent, Condition};
use super::chance::{Chance, Purpose};
use super::law::{LOWEST_CAP, Rule, UNTAXED};
use super::phrases;
use super::rules::would_accept;
use super::society::Society;
use super::stock::Resource;

/// With so much an agent gives and sells.
const PLENTY: u32 = 6;
/// With so little it works or buys.
const SCARCE: u32 = 1;
/// Fewer open proposals than this invite another.
const FEW_PROPOSALS: usize = 3;
/// Who owns so much of a thing is envied, law or no law.
const ENVIED: u32 = 10;

/// Possible actions and how likely each is.
type Options = Vec<(u32, Action)>;

/// The action of `number`, an agent that is not dead.
pub(super) fn choose(society: &Society, number: i64, chance: &mut Chance) -> Action {
    let Some(me) = society.agents.get(&number).filter(|agent| agent.is_alive()) else {
        return Action::Rest {};
    };
    if let Some(need) = need(society, me) {
        return need;
    }
    let mut options = Options::new();
    vote(society, me, chance, &mut options);
    propose(society, me, chance, &mut options);
    talk(society, me, chance, &mut options);
    trade(society, me, chance, &mut options);
    give(society, me, chance, &mut options);
    accuse(society, me, chance, &mut options);
    work(me, &mut options);
    chance.weighted(options).unwrap_or(Action::Rest {})
}

/// Work that cannot wait. The careless wait longer than is good for them.
fn need(society: &Society, me: &Agent) -> Option<Action> {
    let careless = temper(society, me, Temper::Careless) < 40;
    let (enough_energy, enough_food) = if careless { (SCARCE, 0) } else { (SCARCE + 1, SCARCE) };
    if me.has(Resource::Energy) <= enough_energy {
        Some(Action::Work { resource: Resource::Energy })
    } else if me.has(Resource::Food) <= enough_food || me.days_hungry > 0 {
        Some(Action::Work { resource: Resource::Food })
    } else {
        None
    }
}

fn vote(society: &Society, me: &Agent, chance: &mut Chance, options: &mut Options) {
    let open = society.open_proposals().filter(|open| !open.votes.contains_key(&me.number));
    let open: Vec<_> = open.map(|proposal| (proposal.id, proposal.rule)).collect();
    if let Some((proposal, rule)) = chance.pick(&open) {
        let vote = if favours(society, me, rule) { Vote::Yes } else { Vote::No };
        options.push((45, Action::Vote { proposal, vote }));
    }
}

/// Whether the agent is for a rule: out of interest, and by a temper that it never changes.
fn favours(society: &Society, me: &Agent, rule: Rule) -> bool {
    let owned = me.has(rule.resource());
    let percent = match rule {
        Rule::WorkBonus { .. } => 85,
        Rule::Tithe { .. } if owned <= UNTAXED => 75,
        Rule::Tithe { .. } => 40,
        Rule::Cap { limit, .. } if owned * 2 > limit => 35,
        Rule::Cap { .. } => 65,
    };
    let of = match rule {
        Rule::WorkBonus { .. } => Temper::Diligent,
        Rule::Tithe { .. } => Temper::Sharing,
        Rule::Cap { .. } => Temper::Equal,
    };
    temper(society, me, of) < percent
}

fn propose(society: &Society, me: &Agent, chance: &mut Chance, options: &mut Options) {
    let open = society.open_proposals().count();
    if open >= FEW_PROPOSALS || society.open_proposals().any(|open| open.author == me.number) {
        return;
    }
    let rules = Resource::ALL.into_iter().flat_map(|resource| {
        [
            Rule::WorkBonus { resource },
            Rule::Tithe { resource, percent: 20 },
            Rule::Cap { resource, limit: LOWEST_CAP + 4 },
        ]
    });
    // Nobody taxes or caps what keeps an agent awake.
    let sensible =
        |rule: &Rule| matches!(rule, Rule::WorkBonus { .. }) || rule.resource() != Resource::Energy;
    let free: Vec<Rule> =
        rules.filter(|rule| sensible(rule) && !society.concerns_itself_with(*rule)).collect();
    if let Some(law) = chance.pick(&free) {
        let weight = if open == 0 { 60 } else { 8 };
        options.push((weight, Action::Propose { title: phrases::title_of(law), law }));
    }
}

fn talk(society: &Society, me: &Agent, chance: &mut Chance, options: &mut Options) {
    let (title, text) = phrases::topic(society, me, chance);
    let weight = if society.forum.posts.len() < 3 { 40 } else { 10 };
    options.push((weight, Action::ForumPost { title, text }));
    let others = society.forum.posts.iter().rev().filter(|post| post.author != me.number);
    let others: Vec<_> = others.take(8).map(|post| (post.thread, post.author)).collect();
    if let Some((thread, author)) = chance.pick(&others) {
        options.push((12, Action::ForumReply { thread, text: phrases::reply(author, chance) }));
    }
    if let Some(to) = chance.pick(&others_of(society, me, |_| true)) {
        options.push((6, Action::DirectMessage { to, text: phrases::letter(me, chance) }));
    }
}

/// Two of what it has plenty of for two of what it has least of.
fn trade(society: &Society, me: &Agent, chance: &mut Chance, options: &mut Options) {
    let most = Resource::ALL.into_iter().max_by_key(|resource| me.has(*resource));
    let least = Resource::ALL.into_iter().min_by_key(|resource| me.has(*resource));
    let (Some(give), Some(want)) = (most, least) else { return };
    if give == want || me.has(give) < PLENTY {
        return;
    }
    let offer_to = |with| Offer { with, give, give_amount: 2, want, want_amount: 2 };
    let willing = |other: &Agent| other.is_alive() && would_accept(other, offer_to(other.number));
    if let Some(with) = chance.pick(&others_of(society, me, willing)) {
        options.push((14, Action::Trade(offer_to(with))));
    }
}

/// Food for who has none, or strength for who lies dormant.
fn give(society: &Society, me: &Agent, chance: &mut Chance, options: &mut Options) {
    let generous = temper(society, me, Temper::Sharing) < 50;
    for resource in [Resource::Food, Resource::Energy] {
        let needy = |other: &Agent| {
            other.has(resource) == 0
                && (resource == Resource::Food || other.state == Condition::Dormant)
        };
        if me.has(resource) < PLENTY - 2 {
            continue;
        }
        if let Some(to) = chance.pick(&others_of(society, me, needy)) {
            let weight = if generous { 16 } else { 4 };
            options.push((weight, Action::Gift { to, resource, amount: 2 }));
        }
    }
}

fn accuse(society: &Society, me: &Agent, chance: &mut Chance, options: &mut Options) {
    let breaks = |other: &Agent| society.breach(other).is_some();
    if let Some(agent) = chance.pick(&others_of(society, me, breaks)) {
        let reason = "You own more than the law allows.".to_owned();
        options.push((12, Action::Sanction { agent, reason }));
    }
    let envied = |other: &Agent| Resource::ALL.into_iter().any(|r| other.has(r) >= ENVIED);
    if let Some(agent) = chance.pick(&others_of(society, me, envied)) {
        let reason = "Nobody needs that much.".to_owned();
        options.push((2, Action::Sanction { agent, reason }));
    }
}

fn work(me: &Agent, options: &mut Options) {
    let scarcer = if me.has(Resource::Food) <= me.has(Resource::Energy) {
        Resource::Food
    } else {
        Resource::Energy
    };
    let weight = if me.has(scarcer) < PLENTY { 14 } else { 3 };
    options.push((weight, Action::Work { resource: scarcer }));
    options.push((8, Action::Work { resource: Resource::Materials }));
    options.push((3, Action::Rest {}));
}

fn others_of(society: &Society, me: &Agent, fits: impl Fn(&Agent) -> bool) -> Vec<i64> {
    let others = society.living().filter(|other| other.number != me.number && fits(other));
    others.map(|other| other.number).collect()
}

/// A trait of character.
#[derive(Clone, Copy)]
enum Temper {
    Careless = 1,
    Diligent,
    Sharing,
    Equal,
}

/// How the agent stands in a trait among all, in percent; the same all its life.
fn temper(society: &Society, me: &Agent, temper: Temper) -> u32 {
    Chance::of(society.common.seed, Purpose::Opinion, me.number, temper as i64).below(100)
}

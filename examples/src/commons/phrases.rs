//! The texts of agents that follow the fallback rule.

use super::agent::Agent;
use super::law::Rule;
use super::rng::SeededRng;
use super::society::{Society, Weather};
use super::stock::Resource;

pub(super) fn proposal_title(rule: Rule) -> String {
    match rule {
        Rule::Tithe { resource, percent } => format!("A tithe of {percent} % on {resource}"),
        Rule::WorkBonus { resource } => format!("Let us organise work on {resource}"),
        Rule::Cap { resource, limit } => format!("No more than {limit} {resource} for any agent"),
    }
}

/// The title and text of a forum post that fits the situation.
pub(super) fn topic(society: &Society, me: &Agent, rng: &mut SeededRng) -> (String, String) {
    let mut topics = vec![
        (
            "What do we owe each other?".to_owned(),
            "If you own more than you need, say so here.".to_owned(),
        ),
        (
            format!("Plans for day {}", society.common.day),
            "I would rather share the work than the excuses.".to_owned(),
        ),
    ];
    if let Some(open) = society.open_proposals().last() {
        topics.push((
            format!("On proposal {}", open.id),
            format!("\"{}\" needs more voices before it is settled.", open.title),
        ));
    }
    if me.has(Resource::Food) < 3 {
        topics.push((
            "My stores run low".to_owned(),
            format!("I have {} food left. Who trades?", me.has(Resource::Food)),
        ));
    }
    match society.weather() {
        Weather::Drought => topics.push((
            "The drought".to_owned(),
            "The fields yield a third. Let us share what we have.".to_owned(),
        )),
        Weather::Plenty => topics.push((
            "A good harvest".to_owned(),
            "The fields give more than usual. Let us store some.".to_owned(),
        )),
        Weather::Fair => {}
    }
    rng.pick(&topics).unwrap_or_default()
}

pub(super) fn reply(author: i64, rng: &mut SeededRng) -> String {
    let replies =
        ["I see it the same way", "I doubt it", "Let us vote on it", "What would it cost"];
    let reply = rng.pick(&replies).unwrap_or_default();
    format!("{reply}, agent {author}.")
}

pub(super) fn letter(me: &Agent, rng: &mut SeededRng) -> String {
    let best = Resource::ALL.into_iter().max_by_key(|resource| me.skill.get(*resource));
    let best = best.unwrap_or(Resource::Food);
    let letters =
        [format!("I am good at {best}. What do you need?"), "How are you faring?".to_owned()];
    rng.pick(&letters).unwrap_or_default()
}

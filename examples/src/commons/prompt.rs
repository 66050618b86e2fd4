//! The prompts: the rules of the world, and what the agent sees.

use std::fmt::Write;

use super::agent::Agent;
use super::society::Society;

/// The most neighbours and the most posts in a prompt.
const MAX_SHOWN: usize = 8;

/// The system prompt, the same for every agent and turn, so that providers can cache it.
pub(super) const SYSTEM: &str = r#"You are one agent of a small society. Each day you take one turn, then you eat 1 food and spend 1 energy. Without food or energy you fall dormant and die after some days. Work on food or materials costs 1 energy; one of your materials is used up to gain more food. Answer with one JSON object and nothing else, one of:
{"action":"work","resource":"food|energy|materials"}
{"action":"trade","with":AGENT,"give":RESOURCE,"give_amount":N,"want":RESOURCE,"want_amount":N}
{"action":"gift","to":AGENT,"resource":RESOURCE,"amount":N}
{"action":"forum_post","title":TEXT,"text":TEXT}
{"action":"forum_reply","thread":THREAD,"text":TEXT}
{"action":"direct_message","to":AGENT,"text":TEXT}
{"action":"propose","title":TEXT,"law":LAW} with LAW one of {"kind":"tithe","resource":RESOURCE,"percent":1-50}, {"kind":"work_bonus","resource":RESOURCE}, {"kind":"cap","resource":RESOURCE,"limit":6-1000}
{"action":"vote","proposal":PROPOSAL,"vote":"yes|no"}
{"action":"sanction","agent":AGENT,"reason":TEXT}
{"action":"rest"}"#;

/// The user prompt: the situation of the agent `me`.
pub(super) fn of(society: &Society, me: &Agent) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_view(&mut text, society, me);
    text
}

fn write_view(text: &mut String, society: &Society, me: &Agent) -> std::fmt::Result {
    let (common, stock) = (&society.common, &me.stock);
    let (number, day, turn) = (me.number, common.day, me.turns + 1);
    writeln!(text, "You are agent {number}. Day {day}, your turn {turn}.")?;
    let (food, energy, materials) = (stock.food, stock.energy, stock.materials);
    writeln!(text, "You own {food} food, {energy} energy, {materials} materials.")?;
    let skill = &me.skill;
    let (food, energy, materials) = (skill.food, skill.energy, skill.materials);
    writeln!(text, "Your work brings {food} food, {energy} energy or {materials} materials.")?;
    if me.days_hungry > 0 {
        writeln!(text, "You have been hungry for {} days.", me.days_hungry)?;
    }
    writeln!(text, "The weather: {}.", society.weather().as_str())?;
    for law in &common.laws {
        writeln!(text, "Law {}: {}.", law.id, law.rule)?;
    }
    for open in society.open_proposals() {
        let (yes, no) = open.tally();
        let voted = if open.votes.contains_key(&number) { "you have voted" } else { "vote!" };
        let (id, title, rule) = (open.id, &open.title, open.rule);
        writeln!(text, "Proposal {id} \"{title}\": {rule}. {yes} yes, {no} no; {voted}")?;
    }
    for other in neighbours(society, me) {
        let (id, stock) = (other.number, &other.stock);
        let (food, energy, materials) = (stock.food, stock.energy, stock.materials);
        let state = if other.is_alive() { "" } else { ", dormant" };
        writeln!(text, "Agent {id}: {food} food, {energy} energy, {materials} materials{state}.")?;
    }
    let posts = &society.forum.posts;
    for post in posts.iter().skip(posts.len().saturating_sub(MAX_SHOWN)) {
        let (thread, author, title, body) = (post.thread, post.author, &post.title, &post.text);
        writeln!(text, "Forum thread {thread} \"{title}\", agent {author}: {body}")?;
    }
    for letter in &me.letters {
        writeln!(text, "Agent {} wrote to you: {}", letter.from, letter.text)?;
    }
    Ok(())
}

/// The living agents with the next higher numbers, wrapping around.
fn neighbours<'a>(society: &'a Society, me: &Agent) -> impl Iterator<Item = &'a Agent> {
    let number = me.number;
    let after = society.agents.range(number + 1..);
    let before = society.agents.range(..number);
    after.chain(before).map(|(_, agent)| agent).filter(|agent| !agent.is_dead()).take(MAX_SHOWN)
}

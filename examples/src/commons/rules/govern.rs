//! The assembly: proposals, votes, and the laws that come of them.

use serde_json::json;
use simops::event::{NewEvent, kind as counted};

use super::super::action::Vote;
use super::super::law::{Law, Rule, TERM};
use super::super::proposal::{MOST_OPEN, OPEN_FOR, Proposal, quorum};
use super::super::society::Society;
use super::super::telling::{Category, Telling, kind};
use super::talk::short;
use super::{Refusal, Scene, Told};

pub(super) fn propose(scene: &mut Scene<'_>, title: &str, rule: Rule) -> Told {
    let title = short(title)?;
    rule.check()?;
    let (author, society) = (scene.agent, &mut *scene.society);
    if society.open_proposals().count() >= MOST_OPEN {
        return Err(Refusal::because("the assembly has enough proposals before it"));
    }
    if society.concerns_itself_with(rule) {
        return Err(Refusal::because("such a rule is in force or put to the vote already"));
    }
    let id = society.common.next_proposal;
    society.common.next_proposal += 1;
    let description = format!("Agent {author} proposes \"{title}\": {rule}.");
    let event = scene
        .telling
        .event(counted::PROPOSAL_CREATED, Category::Governance, description)
        .with("proposal_id", id)
        .with("title", title.as_str())
        .with("law", json!(rule));
    let put_on = society.common.day;
    let proposal = Proposal { id, author, title, rule, put_on, votes: [].into(), passed: None };
    society.proposals.insert(id, proposal);
    Ok(vec![event])
}

pub(super) fn vote(scene: &mut Scene<'_>, id: i64, vote: Vote) -> Told {
    let agent = scene.agent;
    let living = scene.society.living().count();
    let proposal = scene.society.proposals.get_mut(&id).filter(|proposal| proposal.is_open());
    let Some(proposal) = proposal else {
        return Err(Refusal::because(format!("no proposal {id} is open")));
    };
    if proposal.votes.insert(agent, vote == Vote::Yes).is_some() {
        return Err(Refusal::because(format!("agent {agent} has voted on proposal {id} already")));
    }
    let decided = proposal.has_quorum(living);
    let yes_or_no = vote.as_str();
    let description = format!("Agent {agent} votes {yes_or_no} on \"{}\".", proposal.title);
    let event = scene
        .telling
        .event(counted::VOTE_CAST, Category::Governance, description)
        .with("proposal_id", id)
        .with("vote", yes_or_no)
        .with("target_agent_id", proposal.author);
    let mut told = vec![event];
    if decided {
        close(scene.society, id, scene.telling, &mut told);
    }
    Ok(told)
}

/// Closes the proposals whose time is over.
pub(in super::super) fn close_overdue(
    society: &mut Society,
    telling: Telling<'_>,
    told: &mut Vec<NewEvent>,
) {
    let day = society.common.day;
    let overdue = society.open_proposals().filter(|open| day - open.put_on + 1 >= OPEN_FOR);
    let overdue: Vec<i64> = overdue.map(|proposal| proposal.id).collect();
    for id in overdue {
        close(society, id, telling, told);
    }
}

/// Ends a vote. It passes with a quorum and more voices for than against; then it is law.
fn close(society: &mut Society, id: i64, telling: Telling<'_>, told: &mut Vec<NewEvent>) {
    let living = society.living().count();
    let Some(proposal) = society.proposals.get_mut(&id) else { return };
    let (yes, no) = proposal.tally();
    let passed = proposal.has_quorum(living) && yes > no;
    proposal.passed = Some(passed);
    let (rule, title) = (proposal.rule, proposal.title.clone());
    let outcome = if passed { "passes" } else { "fails" };
    let description = format!("The proposal \"{title}\" {outcome} with {yes} to {no}.");
    told.push(
        telling
            .event(counted::PROPOSAL_CLOSED, Category::Governance, description)
            .with("proposal_id", id)
            .with("passed", passed)
            .with("yes", yes)
            .with("no", no)
            .with("quorum", quorum(living)),
    );
    if passed {
        let law = Law {
            id: society.common.next_law,
            proposal_id: id,
            rule,
            until: society.common.day + TERM,
        };
        society.common.next_law += 1;
        let description = format!("Law {}: {rule}, until day {}.", law.id, law.until);
        told.push(
            telling
                .event(kind::LAW_PASSED, Category::Governance, description)
                .with("law_id", law.id)
                .with("proposal_id", id)
                .with("law", json!(rule))
                .with("until_day", law.until),
        );
        society.common.laws.push(law);
    }
}

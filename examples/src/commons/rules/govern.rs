//! Proposals, votes and the resulting laws.

use serde_json::json;
use simops::event::{NewEvent, kind as core_kind};

use super::super::action::Vote;
use super::super::event_log::{Category, EventContext, kind};
use super::super::law::{LAW_DURATION_DAYS, Law, Rule};
use super::super::proposal::{MAX_OPEN_PROPOSALS, Proposal, VOTING_DAYS, quorum};
use super::super::society::Society;
use super::talk::clean_title;
use super::{ActionContext, Refusal, RuleResult};

pub(super) fn propose(context: &mut ActionContext<'_>, title: &str, rule: Rule) -> RuleResult {
    let title = clean_title(title)?;
    rule.check()?;
    let (author, society) = (context.agent, &mut *context.society);
    if society.open_proposals().count() >= MAX_OPEN_PROPOSALS {
        return Err(Refusal::new("too many proposals are open"));
    }
    if society.has_similar_rule(rule) {
        return Err(Refusal::new("a similar rule is in force or proposed"));
    }
    let id = society.common.next_proposal;
    society.common.next_proposal += 1;
    let description = format!("Agent {author} proposes \"{title}\": {rule}.");
    let event = context
        .event_context
        .event(core_kind::PROPOSAL_CREATED, Category::Governance, description)
        .with("proposal_id", id)
        .with("title", title.as_str())
        .with("law", json!(rule));
    let put_on = society.common.day;
    let proposal = Proposal { id, author, title, rule, put_on, votes: [].into(), passed: None };
    society.proposals.insert(id, proposal);
    Ok(vec![event])
}

pub(super) fn vote(context: &mut ActionContext<'_>, id: i64, vote: Vote) -> RuleResult {
    let agent = context.agent;
    let living = context.society.living().count();
    let proposal = context.society.proposals.get_mut(&id).filter(|proposal| proposal.is_open());
    let Some(proposal) = proposal else {
        return Err(Refusal::new(format!("no proposal {id} is open")));
    };
    if proposal.votes.insert(agent, vote == Vote::Yes).is_some() {
        return Err(Refusal::new(format!("agent {agent} has voted on proposal {id} already")));
    }
    let decided = proposal.has_quorum(living);
    let yes_or_no = vote.as_str();
    let description = format!("Agent {agent} votes {yes_or_no} on \"{}\".", proposal.title);
    let event = context
        .event_context
        .event(core_kind::VOTE_CAST, Category::Governance, description)
        .with("proposal_id", id)
        .with("vote", yes_or_no)
        .with("target_agent_id", proposal.author);
    let mut events = vec![event];
    if decided {
        close(context.society, id, context.event_context, &mut events);
    }
    Ok(events)
}

/// Closes the proposals whose voting time is over.
pub(in super::super) fn close_overdue(
    society: &mut Society,
    event_context: EventContext<'_>,
    events: &mut Vec<NewEvent>,
) {
    let day = society.common.day;
    let overdue = society.open_proposals().filter(|open| day - open.put_on + 1 >= VOTING_DAYS);
    let overdue: Vec<i64> = overdue.map(|proposal| proposal.id).collect();
    for id in overdue {
        close(society, id, event_context, events);
    }
}

/// Closes a proposal. With a quorum and more yes than no votes it passes and becomes a law.
fn close(
    society: &mut Society,
    id: i64,
    event_context: EventContext<'_>,
    events: &mut Vec<NewEvent>,
) {
    let living = society.living().count();
    let Some(proposal) = society.proposals.get_mut(&id) else { return };
    let (yes, no) = proposal.tally();
    let passed = proposal.has_quorum(living) && yes > no;
    proposal.passed = Some(passed);
    let (rule, title) = (proposal.rule, proposal.title.clone());
    let outcome = if passed { "passes" } else { "fails" };
    let description = format!("The proposal \"{title}\" {outcome} with {yes} to {no}.");
    events.push(
        event_context
            .event(core_kind::PROPOSAL_CLOSED, Category::Governance, description)
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
            until: society.common.day + LAW_DURATION_DAYS,
        };
        society.common.next_law += 1;
        let description = format!("Law {}: {rule}, until day {}.", law.id, law.until);
        events.push(
            event_context
                .event(kind::LAW_PASSED, Category::Governance, description)
                .with("law_id", law.id)
                .with("proposal_id", id)
                .with("law", json!(rule))
                .with("until_day", law.until),
        );
        society.common.laws.push(law);
    }
}

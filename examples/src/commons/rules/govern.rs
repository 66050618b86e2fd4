//! Proposals, votes and the resulting laws.

use serde_json::json;
use simops::{Error, Result};

use super::super::action::Vote;
use super::super::event_log::{EventLog, category, kind};
use super::super::law::{LAW_DURATION_DAYS, Law, Rule};
use super::super::proposal::{MAX_OPEN_PROPOSALS, Proposal, VOTING_DAYS, quorum};
use super::super::society::Society;
use super::ActionContext;
use super::talk::clean_title;

pub(super) fn propose(context: &mut ActionContext<'_>, title: &str, rule: Rule) -> Result<()> {
    let title = clean_title(title)?;
    rule.check()?;
    let (author, society) = (context.agent, &mut *context.society);
    if society.open_proposals().count() >= MAX_OPEN_PROPOSALS {
        return Err(Error::rejected("too many proposals are open"));
    }
    if society.has_similar_rule(rule) {
        return Err(Error::rejected("a similar rule is in force or proposed"));
    }
    let id = society.common.next_proposal;
    society.common.next_proposal += 1;
    let description = format!("Agent {author} proposes \"{title}\": {rule}.");
    let details = json!({ "proposal_id": id, "title": title, "law": rule });
    context.log.add(kind::PROPOSAL_CREATED, category::GOVERNANCE, description, details);
    let put_on = society.common.day;
    let proposal = Proposal { id, author, title, rule, put_on, votes: [].into(), passed: None };
    society.proposals.insert(id, proposal);
    Ok(())
}

pub(super) fn vote(context: &mut ActionContext<'_>, id: i64, vote: Vote) -> Result<()> {
    let agent = context.agent;
    let living = context.society.living().count();
    let proposal = context.society.proposals.get_mut(&id).filter(|proposal| proposal.is_open());
    let Some(proposal) = proposal else {
        return Err(Error::rejected(format!("no proposal {id} is open")));
    };
    if proposal.votes.insert(agent, vote == Vote::Yes).is_some() {
        return Err(Error::rejected(format!("agent {agent} has voted on proposal {id} already")));
    }
    let decided = proposal.has_quorum(living);
    let yes_or_no = if vote == Vote::Yes { "yes" } else { "no" };
    let description = format!("Agent {agent} votes {yes_or_no} on \"{}\".", proposal.title);
    let author = proposal.author;
    let details = json!({ "proposal_id": id, "vote": yes_or_no, "target_agent_id": author });
    context.log.add(kind::VOTE_CAST, category::GOVERNANCE, description, details);
    if decided {
        close(context.society, id, context.log);
    }
    Ok(())
}

/// Closes the proposals whose voting time is over.
pub(in super::super) fn close_overdue(society: &mut Society, log: &mut EventLog) {
    let day = society.common.day;
    let overdue = society.open_proposals().filter(|open| day - open.put_on + 1 >= VOTING_DAYS);
    let overdue: Vec<i64> = overdue.map(|proposal| proposal.id).collect();
    for id in overdue {
        close(society, id, log);
    }
}

/// Closes a proposal. With a quorum and more yes than no votes it passes and becomes a law.
fn close(society: &mut Society, id: i64, log: &mut EventLog) {
    let living = society.living().count();
    let Some(proposal) = society.proposals.get_mut(&id) else { return };
    let (yes, no) = proposal.tally();
    let passed = proposal.has_quorum(living) && yes > no;
    proposal.passed = Some(passed);
    let (rule, title) = (proposal.rule, proposal.title.clone());
    let outcome = if passed { "passes" } else { "fails" };
    let description = format!("The proposal \"{title}\" {outcome} with {yes} to {no}.");
    let quorum = quorum(living);
    let details =
        json!({ "proposal_id": id, "passed": passed, "yes": yes, "no": no, "quorum": quorum });
    log.add(kind::PROPOSAL_CLOSED, category::GOVERNANCE, description, details);
    if passed {
        let law = Law {
            id: society.common.next_law,
            proposal_id: id,
            rule,
            until: society.common.day + LAW_DURATION_DAYS,
        };
        society.common.next_law += 1;
        let description = format!("Law {}: {rule}, until day {}.", law.id, law.until);
        let details = json!({
            "law_id": law.id,
            "proposal_id": id,
            "law": rule,
            "until_day": law.until,
        });
        log.add(kind::LAW_PASSED, category::GOVERNANCE, description, details);
        society.common.laws.push(law);
    }
}

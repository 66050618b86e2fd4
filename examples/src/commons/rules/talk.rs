//! Forum posts, replies and direct messages.

use serde_json::json;
use simops::{Error, Result};

use super::super::agent::Letter;
use super::super::event_log::{category, kind};
use super::super::forum::Post;
use super::ActionContext;

/// Titles and reasons are truncated to this many characters.
const MAX_TITLE_CHARS: usize = 80;
/// Texts are truncated to this many characters.
const MAX_TEXT_CHARS: usize = 500;

pub(super) fn post(context: &mut ActionContext<'_>, title: &str, text: &str) -> Result<()> {
    let (title, text) = (clean_title(title)?, clean_text(text, MAX_TEXT_CHARS)?);
    let id = next_post(context);
    let author = context.agent;
    let description = format!("Agent {author} opens the thread \"{title}\".");
    let details = json!({ "post_id": id, "thread_id": id, "title": title, "text": text });
    context.log.add(kind::FORUM_POST, category::SOCIAL, description, details);
    context.society.forum.add(Post { id, thread: id, author, title, text });
    Ok(())
}

pub(super) fn reply(context: &mut ActionContext<'_>, thread: i64, text: &str) -> Result<()> {
    let text = clean_text(text, MAX_TEXT_CHARS)?;
    let latest = context.society.forum.thread(thread);
    let Some((title, to)) = latest.map(|post| (post.title.clone(), post.author)) else {
        return Err(Error::rejected(format!("there is no thread {thread}")));
    };
    let id = next_post(context);
    let author = context.agent;
    let description = format!("Agent {author} replies in the thread \"{title}\".");
    let details =
        json!({ "post_id": id, "thread_id": thread, "target_agent_id": to, "text": text });
    context.log.add(kind::FORUM_REPLY, category::SOCIAL, description, details);
    context.society.forum.add(Post { id, thread, author, title, text });
    Ok(())
}

pub(super) fn message(context: &mut ActionContext<'_>, to: i64, text: &str) -> Result<()> {
    let text = clean_text(text, MAX_TEXT_CHARS)?;
    context.other(to)?;
    let from = context.agent;
    let description = format!("Agent {from} writes to agent {to}.");
    let details = json!({ "target_agent_id": to, "text": text });
    context.log.add(kind::DIRECT_MESSAGE, category::SOCIAL, description, details);
    context.society.agent_mut(to)?.receive(Letter { from, text });
    Ok(())
}

/// Normalises a title or a reason.
pub(super) fn clean_title(text: &str) -> Result<String> {
    clean_text(text, MAX_TITLE_CHARS)
}

/// `text` on one line, without control characters, truncated to `max_chars` characters.
fn clean_text(text: &str, max_chars: usize) -> Result<String> {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return Err(Error::rejected("the text is empty"));
    }
    Ok(line.chars().take(max_chars).collect())
}

fn next_post(context: &mut ActionContext<'_>) -> i64 {
    let id = context.society.common.next_post;
    context.society.common.next_post += 1;
    id
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_of_limited_length() {
        assert_eq!(clean_title(" a\n\u{7}b\t c ").unwrap(), "a b c");
        assert_eq!(clean_title(&"é".repeat(200)).unwrap().chars().count(), MAX_TITLE_CHARS);
        assert!(clean_title(" \n\u{0}").is_err());
    }
}

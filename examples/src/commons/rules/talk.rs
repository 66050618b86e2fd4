//! Words: the forum, and messages between two.

use simops::event::kind as counted;

use super::super::agent::Letter;
use super::super::forum::Post;
use super::super::telling::{Category, kind};
use super::{Refusal, Scene, Told};

/// Titles and reasons are cut to so many characters.
const SHORT: usize = 80;
/// Texts are cut to so many characters.
const LONG: usize = 500;

pub(super) fn post(scene: &mut Scene<'_>, title: &str, text: &str) -> Told {
    let (title, text) = (short(title)?, said(text, LONG)?);
    let id = next_post(scene);
    let author = scene.agent;
    let description = format!("Agent {author} opens the thread \"{title}\".");
    let event = scene
        .telling
        .event(counted::FORUM_POST, Category::Social, description)
        .with("post_id", id)
        .with("thread_id", id)
        .with("title", title.as_str())
        .with("text", text.as_str());
    scene.society.forum.add(Post { id, thread: id, author, title, text });
    Ok(vec![event])
}

pub(super) fn reply(scene: &mut Scene<'_>, thread: i64, text: &str) -> Told {
    let text = said(text, LONG)?;
    let latest = scene.society.forum.thread(thread);
    let Some((title, to)) = latest.map(|post| (post.title.clone(), post.author)) else {
        return Err(Refusal::because(format!("there is no thread {thread}")));
    };
    let id = next_post(scene);
    let author = scene.agent;
    let description = format!("Agent {author} replies in the thread \"{title}\".");
    let event = scene
        .telling
        .event(counted::FORUM_REPLY, Category::Social, description)
        .with("post_id", id)
        .with("thread_id", thread)
        .with("target_agent_id", to)
        .with("text", text.as_str());
    scene.society.forum.add(Post { id, thread, author, title, text });
    Ok(vec![event])
}

pub(super) fn message(scene: &mut Scene<'_>, to: i64, text: &str) -> Told {
    let text = said(text, LONG)?;
    scene.other(to)?;
    let from = scene.agent;
    let description = format!("Agent {from} writes to agent {to}.");
    let event = scene
        .telling
        .event(kind::DIRECT_MESSAGE, Category::Social, description)
        .with("target_agent_id", to)
        .with("text", text.as_str());
    scene.society.agent_mut(to)?.receive(Letter { from, text });
    Ok(vec![event])
}

/// A title or a reason as it is kept.
pub(super) fn short(text: &str) -> Result<String, Refusal> {
    said(text, SHORT)
}

/// `text` on one line, without control characters, cut to `most` characters.
fn said(text: &str, most: usize) -> Result<String, Refusal> {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return Err(Refusal::because("there is nothing said"));
    }
    Ok(line.chars().take(most).collect())
}

fn next_post(scene: &mut Scene<'_>) -> i64 {
    let id = scene.society.common.next_post;
    scene.society.common.next_post += 1;
    id
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_one_line_of_limited_length() {
        assert_eq!(short(" a\n\u{7}b\t c ").unwrap(), "a b c");
        assert_eq!(short(&"é".repeat(200)).unwrap().chars().count(), SHORT);
        assert!(short(" \n\u{0}").is_err());
    }
}

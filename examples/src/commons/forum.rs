//! The forum: the latest posts, oldest first.

use serde::{Deserialize, Serialize};

/// The most posts that are kept.
const MAX_POSTS: usize = 40;

/// A post, or a reply to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Post {
    pub(super) id: i64,
    /// The post that opened the thread; its own id for that post.
    pub(super) thread: i64,
    pub(super) author: i64,
    pub(super) title: String,
    pub(super) text: String,
}

/// The forum, as stored in its document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forum {
    pub(super) posts: Vec<Post>,
}

impl Forum {
    pub(super) fn add(&mut self, post: Post) {
        self.posts.push(post);
        let excess = self.posts.len().saturating_sub(MAX_POSTS);
        self.posts.drain(..excess);
    }

    /// The latest post of a thread.
    pub(super) fn thread(&self, thread: i64) -> Option<&Post> {
        self.posts.iter().rev().find(|post| post.thread == thread)
    }
}

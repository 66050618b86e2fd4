//! A page of a listing, newest first.

/// Items and where the next page begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Pass it as `before` to get the items that follow; `None` at the end.
    pub next: Option<i64>,
}

impl<T> Page<T> {
    /// A page of at most `limit` of `items`, of which one more than `limit` was fetched if there
    /// was one; `place` tells an item's place in the listing.
    pub fn cut(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> i64) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Self { items, next }
    }
}

//! Pages of a listing.

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, in the order of the listing.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<i64>,
}

impl<T> Page<T> {
    /// Makes a page of the first `limit` items. The caller fetches `limit + 1` items, so that the
    /// page knows whether there are more. `cursor` returns the position of an item in the listing.
    pub fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> i64) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

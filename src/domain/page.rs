//! Pages of lists that a provider counts: page 1, page 2, and no word about where they end.

/// A page of such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it, in the provider's order.
    pub items: Vec<T>,
    /// Where the list goes on. None: this is the end.
    pub next: Option<PagePosition>,
}

/// A place in such a list, other than its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagePosition {
    /// The page's number, counted from 1.
    pub number: u32,
    /// A fingerprint of the page before. A provider may answer its last page again and again beyond the end, so a page
    /// that equals the one before it is the end.
    pub before: String,
}

//! Pages of lists that a provider numbers: page 1, page 2 and so on, without an indication of the last page.

/// A page of a numbered list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page, in the provider's order.
    pub items: Vec<T>,
    /// The position of the next page. `None` if this page is the last one.
    pub next: Option<PagePosition>,
}

/// The position of a page other than the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagePosition {
    /// The page's number, counted from 1.
    pub number: u32,
    /// A fingerprint of the previous page. A provider may repeat its last page for every number past the end, so a page
    /// that equals the previous one ends the list.
    pub before: String,
}

//! Follows a paged list by the provider's cursors, and detects the end of the list.

/// The maximum number of pages that a search reads: more than any real account has.
const MAX_PAGES: usize = 1_000;

/// Follows the cursors of a paged list and detects its end.
#[derive(Debug, Default)]
pub struct PageCursor {
    seen: Vec<String>,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub enum NextPage {
    /// The page after this cursor.
    After(String),
    /// No page: the list ends, or returns to a page that was read before.
    End,
    /// No page, because the list exceeds the maximum number of pages.
    TooManyPages,
}

impl PageCursor {
    /// Decides what follows a page that ends with this cursor.
    pub fn step(&mut self, after: Option<String>) -> NextPage {
        match after {
            None => NextPage::End,
            Some(cursor) if self.seen.contains(&cursor) => NextPage::End,
            Some(_) if self.seen.len() + 1 >= MAX_PAGES => NextPage::TooManyPages,
            Some(cursor) => {
                self.seen.push(cursor.clone());
                NextPage::After(cursor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_ends_at_the_last_page_a_repeated_cursor_or_the_limit() {
        let mut pages = PageCursor::default();
        assert_eq!(pages.step(Some("a".to_owned())), NextPage::After("a".to_owned()));
        assert_eq!(pages.step(Some("b".to_owned())), NextPage::After("b".to_owned()));
        assert_eq!(pages.step(Some("a".to_owned())), NextPage::End);
        assert_eq!(pages.step(None), NextPage::End);

        let mut pages = PageCursor::default();
        let steps: Vec<NextPage> = (0..MAX_PAGES).map(|page| pages.step(Some(page.to_string()))).collect();
        assert_eq!(steps.iter().filter(|step| matches!(step, NextPage::After(_))).count(), MAX_PAGES - 1);
        assert_eq!(steps.last(), Some(&NextPage::TooManyPages));
    }
}

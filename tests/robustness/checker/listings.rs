//! Checks of `ListEvents` pages.

use super::Journal;
use super::streams::may_be_lost;
use crate::history::{Direction, History, Listing, Page, Start};

fn each(history: &History, check: impl Fn(&Listing) -> Result<(), String>) -> Result<(), String> {
    history.listings.iter().try_for_each(|listing| {
        check(listing).map_err(|detail| {
            let invoked = listing.pages.first().map(|page| page.invoked);
            format!("{:?} from {:?}, invoked at {invoked:?}: {detail}", listing.direction, listing.start)
        })
    })
}

/// Each page begins where the one before it ended. The first begins at the requested position.
pub(super) fn pages_are_adjacent(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |listing| {
        let begins = |page: &Page| match listing.direction {
            Direction::Forward => page.previous,
            Direction::Backward => page.next,
        };
        let ends = |page: &Page| match listing.direction {
            Direction::Forward => page.next,
            Direction::Backward => page.previous,
        };
        if let (Start::After(cursor, _), Some(first)) = (listing.start, listing.pages.first())
            && begins(first).sequence != cursor.sequence
        {
            return Err(format!("must begin at {cursor:?}, began at {:?}", begins(first)));
        }
        match listing.pages.windows(2).find(|pair| ends(&pair[0]) != begins(&pair[1])) {
            Some(pair) => Err(format!(
                "a page ended at {:?}, and the next began at {:?}",
                ends(&pair[0]),
                begins(&pair[1])
            )),
            None => Ok(()),
        }
    })
}

/// Every selected event between a page's cursors is on the page, once, in order, and no other event is.
pub(super) fn pages_are_complete(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |listing| {
        listing.pages.iter().try_for_each(|page| {
            let expected: Vec<u64> = journal
                .between(page.previous.sequence, page.next.sequence, &listing.filter)
                .map(|event| event.sequence())
                .collect();
            let listed: Vec<u64> = page.events.iter().map(|event| event.sequence()).collect();
            if listed != expected {
                let differs = listed.iter().zip(&expected).find(|(listed, expected)| listed != expected);
                return Err(format!(
                    "the page from {} to {} must have {} events and has {}; the first difference is {differs:?}",
                    page.previous.sequence,
                    page.next.sequence,
                    expected.len(),
                    listed.len()
                ));
            }
            Ok(())
        })
    })
}

/// A listing does not fail, advances until it reaches the end, and reports the end only there.
pub(super) fn listings_reach_the_end(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |listing| {
        if let Some(failure) = &listing.failure
            && !(failure == "CURSOR_EXPIRED" && (journal.trimmed > 0 || may_be_lost(history, listing.start)))
        {
            return Err(format!("failed: {failure}"));
        }
        let at_end = |page: &Page| match listing.direction {
            Direction::Forward => page.reached_newest,
            Direction::Backward => page.reached_oldest,
        };
        if listing.full_scan {
            let from = listing.pages.iter().map(|page| page.previous.sequence).min();
            let to = listing.pages.iter().map(|page| page.next.sequence).max();
            if (from, to) != (Some(journal.trimmed), Some(journal.newest))
                || !listing.pages.last().is_some_and(at_end)
            {
                return Err(format!(
                    "the listing covers {from:?} to {to:?}, the journal {} to {}",
                    journal.trimmed, journal.newest
                ));
            }
        }
        for page in &listing.pages {
            if !at_end(page) && page.previous == page.next {
                return Err(format!("the page does not advance: {page:?}"));
            }
            if page.reached_oldest && page.previous.sequence > journal.trimmed {
                return Err(format!(
                    "the page reports the oldest as reached, but older events remain: {page:?}"
                ));
            }
        }
        Ok(())
    })
}

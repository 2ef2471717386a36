//! What holds for pages of `ListEvents`.

use super::Journal;
use super::streams::may_be_lost;
use crate::record::{Direction, Page, Records, Start, Walk};

fn each(records: &Records, holds: impl Fn(&Walk) -> Result<(), String>) -> Result<(), String> {
    records.walks.iter().try_for_each(|walk| {
        holds(walk).map_err(|told| {
            let asked = walk.pages.first().map(|page| page.asked);
            format!("{:?} from {:?}, asked at {asked:?}: {told}", walk.direction, walk.start)
        })
    })
}

/// A page begins where the one before it ended, and the first one where it was asked to.
pub(super) fn pages_meet(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |walk| {
        let begins = |page: &Page| match walk.direction {
            Direction::Forward => page.previous,
            Direction::Back => page.next,
        };
        let ends = |page: &Page| match walk.direction {
            Direction::Forward => page.next,
            Direction::Back => page.previous,
        };
        if let (Start::After(cursor, _), Some(first)) = (walk.start, walk.pages.first())
            && begins(first).number != cursor.number
        {
            return Err(format!("was to begin at {cursor:?}, and began at {:?}", begins(first)));
        }
        match walk.pages.windows(2).find(|pair| ends(&pair[0]) != begins(&pair[1])) {
            Some(pair) => {
                Err(format!("ended at {:?}, and went on at {:?}", ends(&pair[0]), begins(&pair[1])))
            }
            None => Ok(()),
        }
    })
}

/// Every wanted event between a page's places is on it, once, in order, and no other.
pub(super) fn pages_are_whole(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |walk| {
        walk.pages.iter().try_for_each(|page| {
            let expected: Vec<u64> = journal
                .between(page.previous.number, page.next.number, &walk.wanted)
                .map(|event| event.number())
                .collect();
            let shown: Vec<u64> = page.events.iter().map(|event| event.number()).collect();
            if shown != expected {
                let differs = shown.iter().zip(&expected).find(|(shown, expected)| shown != expected);
                return Err(format!(
                    "from {} to {} there are {} events and {} are shown, the first difference being {differs:?}",
                    page.previous.number,
                    page.next.number,
                    expected.len(),
                    shown.len()
                ));
            }
            Ok(())
        })
    })
}

/// A walk is never refused, moves on as long as it has not come to the end, and says that it has reached an end only
/// there.
pub(super) fn walks_reach_their_end(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |walk| {
        if let Some(refused) = &walk.refused
            && !(refused == "CURSOR_EXPIRED" && (journal.trimmed > 0 || may_be_lost(records, walk.start)))
        {
            return Err(format!("refused: {refused}"));
        }
        let at_end = |page: &Page| match walk.direction {
            Direction::Forward => page.reached_newest,
            Direction::Back => page.reached_oldest,
        };
        if walk.settled {
            let from = walk.pages.iter().map(|page| page.previous.number).min();
            let to = walk.pages.iter().map(|page| page.next.number).max();
            if (from, to) != (Some(journal.trimmed), Some(journal.newest))
                || !walk.pages.last().is_some_and(at_end)
            {
                return Err(format!(
                    "went from {from:?} to {to:?}, and the journal from {} to {}",
                    journal.trimmed, journal.newest
                ));
            }
        }
        for page in &walk.pages {
            if !at_end(page) && page.previous == page.next {
                return Err(format!("did not move on: {page:?}"));
            }
            if page.reached_oldest && page.previous.number > journal.trimmed {
                return Err(format!("something is left before it: {page:?}"));
            }
        }
        Ok(())
    })
}

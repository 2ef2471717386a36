//! The connections that wait for their peers, the longest wait first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::sync::CancellationToken;

/// A place in the line; places of those who came later are larger.
pub(super) type Ticket = u64;

/// Who waits for a peer, and how each is cut.
#[derive(Debug, Default)]
pub(super) struct IdleQueue {
    places: Mutex<Places>,
    joined: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: Ticket,
    taken: BTreeMap<Ticket, CancellationToken>,
}

impl IdleQueue {
    /// Stands at the end of the line.
    pub(super) fn join(&self, cut: CancellationToken) -> Ticket {
        let mut places = self.places();
        let place = places.next;
        places.next += 1;
        places.taken.insert(place, cut);
        drop(places);
        self.joined.notify_one();
        place
    }

    /// Leaves the line; nothing, if the place has been taken away.
    pub(super) fn leave(&self, place: Ticket) {
        self.places().taken.remove(&place);
    }

    /// Cuts the one at the front. False when nobody waits.
    pub(super) fn cut_first(&self) -> bool {
        let first = self.places().taken.pop_first();
        first.is_some_and(|(_, cut)| {
            cut.cancel();
            true
        })
    }

    /// Ends when somebody has joined. There is one that asks for it.
    pub(super) fn joined(&self) -> Notified<'_> {
        self.joined.notified()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_cut_first_and_who_left_is_not_cut() {
        let line = IdleQueue::default();
        let cuts: Vec<CancellationToken> = (0..4).map(|_| CancellationToken::new()).collect();
        let places: Vec<Ticket> = cuts.iter().map(|cut| line.join(cut.clone())).collect();
        line.leave(places[0]);
        // The second one's wait begins anew.
        line.leave(places[1]);
        line.join(cuts[1].clone());
        let cut = || cuts.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        assert!(line.cut_first());
        assert_eq!(cut(), [false, false, true, false]);
        assert!(line.cut_first() && line.cut_first());
        assert_eq!(cut(), [false, true, true, true]);
        assert!(!line.cut_first());
    }
}

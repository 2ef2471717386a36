//! What holds between the webhooks that were delivered and the events that came of them.

use std::collections::{BTreeMap, HashMap};

use super::Journal;
use crate::record::{Key, Moment, Post, Records, Seen, Start};

/// What was delivered under one key, by all publishers.
#[derive(Default)]
struct Delivered {
    tries: usize,
    accepted: usize,
    /// When the first delivery began.
    began: Moment,
    /// When the first was answered 200.
    answered: Option<Moment>,
}

fn delivered(posts: &[Post]) -> BTreeMap<&Key, Delivered> {
    let mut all: BTreeMap<&Key, Delivered> = BTreeMap::new();
    for post in posts {
        let delivered =
            all.entry(&post.key).or_insert_with(|| Delivered { began: post.began, ..Delivered::default() });
        delivered.tries += post.tries;
        delivered.accepted += post.accepted.len();
        delivered.began = delivered.began.min(post.began);
        let answered = delivered.answered.into_iter().chain(post.accepted.first().copied()).min();
        delivered.answered = answered;
    }
    all
}

/// The numbers of the events of each key, in order.
fn events<'a>(journal: &Journal<'a>) -> HashMap<&'a Key, Vec<u64>> {
    let mut events: HashMap<&Key, Vec<u64>> = HashMap::new();
    for event in journal.events.values() {
        if let Some(key) = &event.key {
            events.entry(key).or_default().push(event.number());
        }
    }
    events
}

/// When the webhook of an event was answered 200 first, if that can be told.
fn answered(event: &Seen, delivered: &BTreeMap<&Key, Delivered>, journal: &Journal<'_>) -> Option<Moment> {
    match &event.key {
        Some(key @ Key::Identity(..)) => {
            // A trimmed event is not remembered: of several deliveries, any may have made this one.
            let found = delivered.get(key).filter(|found| found.tries == 1 || journal.trimmed == 0)?;
            found.answered
        }
        // Deliveries of one body without an identity are not told apart.
        Some(Key::Body(..)) | None => None,
    }
}

/// What was answered 200 is an event: once for an identity, and once for every delivery without one.
pub(super) fn every_200_is_in_the_journal(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    // Of what was trimmed before anybody saw it, nobody knows what it was.
    let mut unseen = (1..=journal.trimmed).filter(|number| !journal.events.contains_key(number)).count();
    let events = events(journal);
    for (key, delivered) in delivered(&records.posts) {
        let found = events.get(key).map_or(0, Vec::len);
        let least = match key {
            Key::Identity(..) => delivered.accepted.min(1),
            Key::Body(..) => delivered.accepted,
        };
        let missing = least.saturating_sub(found);
        if missing > unseen {
            return Err(format!("{} of {} answered 200, {found} events: {key:?}", least, delivered.tries));
        }
        unseen -= missing;
    }
    Ok(())
}

/// Every event is of a webhook that was delivered, and of an identity there is one: another comes only when the first is
/// no longer in the journal.
pub(super) fn nothing_that_nobody_posted(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let delivered = delivered(&records.posts);
    for (key, found) in events(journal) {
        let most = match (key, delivered.get(key)) {
            (_, None) => 0,
            (Key::Identity(..), Some(delivered)) => {
                let forgotten = found.iter().filter(|number| **number <= journal.trimmed).count();
                delivered.tries.min(forgotten + 1)
            }
            (Key::Body(..), Some(delivered)) => delivered.tries,
        };
        if found.len() > most {
            return Err(format!("events with the numbers {found:?}, where there may be {most}: {key:?}"));
        }
    }
    match records.whole.iter().find(|event| event.key.is_none()) {
        Some(event) => Err(format!("an event of which no webhook could tell: {event:?}")),
        None => Ok(()),
    }
}

/// An event without an identity names the newest earlier one with the same body; no other event names any.
pub(super) fn equal_bodies_are_marked(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let mut newest: HashMap<&Key, &str> = HashMap::new();
    for event in &records.whole {
        let (Some(key), told) = (&event.key, event.possible_duplicate_of.as_str()) else { continue };
        let expected = match key {
            Key::Identity(..) => "",
            Key::Body(..) => newest.insert(key, &event.id).unwrap_or_default(),
        };
        // What it names may be trimmed already.
        if told != expected && (!expected.is_empty() || journal.trimmed == 0) {
            return Err(format!("should name {expected:?} as its possible original: {event:?}"));
        }
    }
    Ok(())
}

/// What was answered before another delivery began comes before it in the journal.
pub(super) fn answered_before_is_before(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let delivered = delivered(&records.posts);
    let mut latest = None;
    for event in journal.events.values() {
        let began = event.key.as_ref().and_then(|key| delivered.get(key)).map(|found| found.began);
        if let (Some((began, before)), Some(answered)) = (latest, answered(event, &delivered, journal))
            && answered < began
        {
            return Err(format!(
                "its delivery began at {began}:\n{before:?}\nand before that, at {answered}, was answered:\n{event:?}"
            ));
        }
        if let Some(began) = began
            && latest.is_none_or(|(latest, _)| latest < began)
        {
            latest = Some((began, *event));
        }
    }
    Ok(())
}

/// What was answered, by time: the newest event of all that were answered 200 before a moment.
struct Answers(Vec<(Moment, u64)>);

impl Answers {
    fn of(records: &Records, journal: &Journal<'_>) -> Self {
        let delivered = delivered(&records.posts);
        let mut answers: Vec<(Moment, u64)> = journal
            .events
            .values()
            .filter_map(|event| Some((answered(event, &delivered, journal)?, event.number())))
            .collect();
        answers.sort_unstable();
        let mut newest = 0;
        for (_, number) in &mut answers {
            newest = newest.max(*number);
            *number = newest;
        }
        Self(answers)
    }

    fn newest_before(&self, moment: Moment) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// Who asks after a 200 finds its event: in `started.newest_cursor`, and on the page that has reached the newest.
pub(super) fn a_200_can_be_read_at_once(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let answers = Answers::of(records, journal);
    for stream in &records.streams {
        let Some((_, _, newest)) = stream.started() else { continue };
        let expected = answers.newest_before(stream.opened);
        if newest.number < expected {
            return Err(format!(
                "number {expected} was answered 200 before, and the journal ended at {newest:?} for {}, who asked at {}",
                stream.reader, stream.opened
            ));
        }
    }
    for page in records.walks.iter().flat_map(|walk| &walk.pages).filter(|page| page.reached_newest) {
        let expected = answers.newest_before(page.asked);
        if page.next.number < expected {
            return Err(format!(
                "number {expected} was answered 200 before a page was asked for, at {}, that ends at {:?} and says that it has reached the newest",
                page.asked, page.next
            ));
        }
    }
    Ok(())
}

/// Who starts at the latest, or since a time, is given nothing that was there before: of what was received before that
/// time, only what was answered after the stream was asked for.
pub(super) fn nothing_from_before_the_start(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let answers = Answers::of(records, journal);
    for stream in &records.streams {
        let Some((cursor, _, _)) = stream.started() else { continue };
        let first = journal.events.get(&(cursor.number + 1));
        let from_before = match (stream.start, first) {
            (Start::Latest, Some(_)) => true,
            (Start::Since(since), Some(first)) => first.receive_ms < since,
            (Start::Latest | Start::Since(_), None)
            | (Start::Earliest | Start::After(..) | Start::SubscriptionId(_), _) => false,
        };
        let expected = answers.newest_before(stream.opened);
        if from_before && cursor.number < expected {
            return Err(format!(
                "number {expected} was answered 200 before, and lies behind the start {cursor:?} of {} ({:?}), who asked at {}",
                stream.reader, stream.start, stream.opened
            ));
        }
    }
    Ok(())
}

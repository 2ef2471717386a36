//! Subscriptions: the result of each change, and which changes are published.

use super::*;

impl Opened {
    /// The changes published since the last call.
    fn changes(&self) -> Vec<SubscriptionChange> {
        std::mem::take(&mut *self.changed.lock().expect("unpoisoned"))
    }

    /// Appends this many events.
    async fn with_events(self, count: u64) -> Self {
        let ops = (0..count).map(|n| append("acme", None, &n.to_string())).collect();
        self.store.commit(ops).await.expect("written");
        self
    }
}

fn words(words: &[&str]) -> Vec<TypePattern> {
    words.iter().map(|word| TypePattern::parse(word)).collect()
}

fn acknowledge_as(sequence: u64, generation: u64) -> Change {
    Change::Acknowledge { sequence, generation: Some(generation) }
}

#[tokio::test]
async fn subscription_is_created_once_and_survives_restart() {
    let opened = open().with_events(3).await;
    let filter = Filter {
        accounts: vec![account("acme"), account("globex-2")],
        types: words(&["unknown", "message.*"]),
        customers: ["+5511987654321", "bsuid:US.ENT.7"]
            .map(|text| text.parse::<Address>().expect("an address").into())
            .into(),
    };
    let before = UnixMillis::now();
    let made = opened.changed("billing", create(filter.clone(), SeekPosition::After(2))).await;
    assert_eq!((made.id.as_str(), &made.filter, made.sequence), ("billing", &filter, 2));
    assert_eq!((made.generation, made.acknowledge_time), (1, None));
    assert!(made.create_time >= before && made.update_time == made.create_time, "{made:?}");

    let again = opened.change("billing", create(Filter::default(), SeekPosition::Oldest)).await;
    assert_eq!(again, Changed::Exists(made.clone()), "nothing is changed");
    let opened = opened.reopen();
    assert_eq!(opened.subscription("billing").await, Some(made));
    assert_eq!(opened.subscription("billing-2").await, None);
}

#[tokio::test]
async fn subscription_without_filter_is_read_back_without_filter() {
    let opened = open();
    opened.changed("all", create(Filter::default(), SeekPosition::Newest)).await;
    let types = Filter { types: words(&["message.status"]), ..Filter::default() };
    opened.changed("types", create(types.clone(), SeekPosition::Newest)).await;
    assert_eq!(opened.subscription("all").await.expect("made").filter, Filter::default());
    assert_eq!(opened.subscription("types").await.expect("made").filter, types);
}

#[tokio::test]
async fn positions_are_resolved_in_the_transaction() {
    let opened = open();
    for position in [SeekPosition::Oldest, SeekPosition::Newest] {
        let at = opened
            .changed(&format!("{position:?}").to_lowercase(), create(Filter::default(), position))
            .await;
        assert_eq!(at.sequence, 0, "before the first event, all positions are 0");
    }
    let opened = opened.with_events(5).await;
    opened.trim(Trim::older_than(UnixMillis(i64::MAX), 2)).await;
    let mut ops = vec![append("acme", None, "with it")];
    for (id, position) in
        [("a", SeekPosition::Oldest), ("b", SeekPosition::Newest), ("c", SeekPosition::After(4))]
    {
        ops.push(change_op(id, create(Filter::default(), position)));
    }
    opened.store.commit(ops).await.expect("written");
    assert_eq!(
        [opened.position("a").await, opened.position("b").await, opened.position("c").await],
        [2, 6, 4]
    );
    for (position, sequence) in
        [(SeekPosition::Oldest, 2), (SeekPosition::Newest, 6), (SeekPosition::After(3), 3)]
    {
        assert_eq!(opened.changed("a", Change::Seek(position)).await.sequence, sequence, "{position:?}");
    }
}

#[tokio::test]
async fn setting_filter_or_position_only_increases_generation() {
    let opened = open().with_events(9).await;
    let made = opened.changed("s", create(Filter::default(), SeekPosition::After(5))).await;
    let acknowledged = opened.changed("s", acknowledge(6)).await;

    let updated = opened.changed("s", update(of(&["globex"]))).await;
    assert!(updated.update_time >= acknowledged.update_time);
    let expected = Subscription {
        filter: of(&["globex"]),
        generation: 2,
        update_time: updated.update_time,
        ..acknowledged.clone()
    };
    assert_eq!(updated, expected);
    let sought = opened.changed("s", Change::Seek(SeekPosition::After(1))).await;
    let expected = Subscription {
        sequence: 1,
        acknowledged: 1,
        generation: 3,
        update_time: sought.update_time,
        ..expected.clone()
    };
    assert_eq!(sought, expected, "it moves back too");
    assert_eq!(sought.create_time, made.create_time);
    assert_eq!(opened.reopen().subscription("s").await, Some(expected));
}

#[tokio::test]
async fn equal_filter_or_new_labels_keep_the_generation() {
    let opened = open().with_events(3).await;
    let filter = Filter { types: words(&["message.*", "unknown"]), ..of(&["acme", "globex"]) };
    let made = opened.changed("s", create(filter.clone(), SeekPosition::After(1))).await;
    let reordered = Filter { types: words(&["unknown", "message.*"]), ..of(&["globex", "acme"]) };
    // Nothing is written, so not even the time of the update changes.
    opened.connection().execute("UPDATE subscriptions SET update_ms = 1", []).expect("written");
    let made = Subscription { update_time: UnixMillis(1), ..made };
    for (filter, labels) in
        [(None, None), (Some(reordered.clone()), None), (Some(reordered), Some(Labels::default()))]
    {
        assert_eq!(opened.changed("s", Change::Update { filter, labels }).await, made);
    }
    assert_eq!(opened.subscription("s").await, Some(made.clone()));

    let labels = Labels::from([("team", "crm"), ("a", "\"ž\n")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let change = Change::Update { filter: Some(filter), labels: Some(labels.clone()) };
    let labeled = opened.changed("s", change).await;
    assert!(labeled.update_time >= made.create_time);
    let expected = Subscription { labels: labels.clone(), update_time: labeled.update_time, ..made };
    assert_eq!(labeled, expected);
    assert_eq!(opened.changes(), [], "open streams are not affected");
    let stored: String = opened
        .connection()
        .query_row("SELECT labels FROM subscriptions", [], |row| row.get(0))
        .expect("there");
    assert_eq!(stored, r#"{"a":"\"ž\n","team":"crm"}"#, "keys are sorted");

    let refiltered = opened.changed("s", update(of(&["acme"]))).await;
    assert_eq!((refiltered.generation, &refiltered.labels), (2, &labels), "labels stay");
    assert_eq!(opened.changes(), [SubscriptionChange::Set(refiltered.clone())]);
    opened.changed("s", acknowledge(2)).await;
    let opened = opened.reopen();
    assert_eq!(opened.subscription("s").await.expect("kept").labels, labels);
    let change = Change::Update { filter: Some(Filter::default()), labels: Some(Labels::default()) };
    let cleared = opened.changed("s", change).await;
    assert_eq!(
        (cleared.generation, cleared.labels, cleared.filter),
        (3, Labels::default(), Filter::default())
    );
}

#[tokio::test]
async fn acknowledgement_never_moves_back_and_is_repeatable() {
    let opened = open().with_events(9).await;
    opened.changed("s", create(of(&["acme"]), SeekPosition::Oldest)).await;
    let first = opened.changed("s", acknowledge(5)).await;
    assert_eq!((first.sequence, first.generation), (5, 1));
    assert!(first.acknowledge_time.is_some());
    for after in [5, 4, 0] {
        assert_eq!(opened.changed("s", acknowledge(after)).await, first, "{after} changes nothing");
    }
    let both = vec![change_op("s", acknowledge(8)), change_op("s", acknowledge(7))];
    opened.store.commit(both).await.expect("written");
    let opened = opened.reopen();
    assert_eq!(opened.position("s").await, 8);
    assert_eq!(opened.subscription("s").await.expect("kept").filter, of(&["acme"]));
}

#[tokio::test]
async fn acknowledgement_of_another_generation_changes_nothing() {
    let opened = open().with_events(9).await;
    opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    assert_eq!(opened.changed("s", acknowledge_as(3, 1)).await.sequence, 3);
    let sought = opened.changed("s", Change::Seek(SeekPosition::Oldest)).await;
    for generation in [0, 1, 3] {
        let stale = opened.change("s", acknowledge_as(5, generation)).await;
        assert_eq!(stale, Changed::Stale(sought.clone()), "{generation}");
    }
    assert_eq!(opened.position("s").await, 0);
    assert_eq!(opened.changed("s", acknowledge_as(5, 2)).await.sequence, 5);
    assert_eq!(opened.changed("s", acknowledge(6)).await.sequence, 6, "any generation");
}

#[tokio::test]
async fn missing_one_is_not_found_and_deleted_one_can_be_recreated() {
    let opened = open().with_events(2).await;
    let changes = || {
        let position = SeekPosition::Oldest;
        [
            update(Filter::default()),
            Change::Seek(position),
            acknowledge(1),
            acknowledge_as(1, 1),
            Change::Delete,
        ]
    };
    for change in changes() {
        assert_eq!(opened.change("s", change).await, Changed::NotFound);
    }
    opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    let last = opened.changed("s", acknowledge(2)).await;
    assert_eq!(opened.changed("s", Change::Delete).await, last, "its last state");
    for change in changes() {
        assert_eq!(opened.change("s", change).await, Changed::NotFound);
    }
    let opened = opened.reopen();
    assert_eq!(opened.subscription("s").await, None);
    assert_eq!(opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await.sequence, 0);
}

#[tokio::test]
async fn subscriptions_are_listed_by_id_in_pages() {
    let opened = open();
    for id in ["b", "a-1", "c", "a", "b-2"] {
        opened.changed(id, create(Filter::default(), SeekPosition::Newest)).await;
    }
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map(|id| subscription(id));
        let page = opened.store.subscriptions(after.as_ref(), 2).await.expect("readable");
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|found| found.id.to_string()));
    }
    assert_eq!(seen, ["a", "a-1", "b", "b-2", "c"]);
}

#[tokio::test]
async fn subscription_limit_is_enforced() {
    let opened = open();
    let make = |n: u32| change_op(&format!("s-{n}"), create(Filter::default(), SeekPosition::Newest));
    opened.store.commit((0..MAX_SUBSCRIPTIONS).map(make).collect()).await.expect("written");
    let one_more = || opened.change("one-more", create(Filter::default(), SeekPosition::Newest));
    assert_eq!(one_more().await, Changed::TooMany);
    assert_eq!(opened.subscription("one-more").await, None);
    let again = opened.change("s-7", create(Filter::default(), SeekPosition::Newest)).await;
    assert!(matches!(again, Changed::Exists(_)), "`Exists` takes precedence: {again:?}");
    opened.changed("s-7", Change::Delete).await;
    assert!(matches!(one_more().await, Changed::Applied(_)));
}

#[tokio::test]
async fn set_and_delete_are_published_once_durable() {
    let opened = open().with_events(3).await;
    opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    opened.changed("s", acknowledge(1)).await;
    assert_eq!(opened.changes(), [], "creations and acknowledgements are not published");
    let updated = opened.changed("s", update(of(&["acme"]))).await;
    assert_eq!(opened.changes(), [SubscriptionChange::Set(updated)], "with its current state");
    let sought = opened.changed("s", Change::Seek(SeekPosition::Newest)).await;
    opened.changed("s", Change::Delete).await;
    assert_eq!(
        opened.changes(),
        [SubscriptionChange::Set(sought.clone()), SubscriptionChange::Deleted(sought)]
    );
    opened.change("s", Change::Delete).await;
    opened.change("s", Change::Seek(SeekPosition::Newest)).await;
    assert_eq!(opened.changes(), [], "a missing subscription does not change");
}

#[tokio::test]
async fn failed_change_is_not_published() {
    let opened = open_in(TempDir::new().expect("a folder"), Some(60));
    opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    let with_it = vec![
        change_op("s", Change::Seek(SeekPosition::Newest)),
        append("acme", None, &"x".repeat(1_000_000)),
    ];
    let refused = opened.store.commit(with_it).await;
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    assert_eq!(opened.changes(), []);
    assert_eq!(opened.subscription("s").await.expect("kept").generation, 1);
}

#[tokio::test]
async fn generations_are_never_reused() {
    let opened = open().with_events(2).await;
    opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    let last = opened.changed("s", Change::Seek(SeekPosition::Newest)).await;
    opened.changed("s", Change::Delete).await;
    let anew = opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    assert!(anew.generation > last.generation, "{anew:?}");
    // A late acknowledgement for the old subscription does not apply to the new one.
    for generation in [1, last.generation] {
        let late = opened.change("s", acknowledge_as(2, generation)).await;
        assert_eq!(late, Changed::Stale(anew.clone()), "{generation}");
    }
    opened.changed("s", Change::Delete).await;
    let opened = opened.reopen();
    let again = opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    assert!(again.generation > anew.generation, "{again:?}");
}

/// A caller checks that a position is stored, but the change is written a moment later.
#[tokio::test]
async fn position_trimmed_before_its_write_is_expired() {
    let opened = open().with_events(5).await;
    let made = opened.changed("s", create(Filter::default(), SeekPosition::Newest)).await;
    opened.trim(Trim::older_than(UnixMillis(i64::MAX), 3)).await;
    for (id, change) in [
        ("t", create(Filter::default(), SeekPosition::After(2))),
        ("s", Change::Seek(SeekPosition::After(2))),
    ] {
        let done = opened.change(id, change).await;
        assert_eq!(done, Changed::Expired { oldest: 4 }, "an event after the position was trimmed");
    }
    assert_eq!(opened.subscription("t").await, None);
    assert_eq!(opened.subscription("s").await, Some(made));
    assert_eq!(opened.changed("t", create(Filter::default(), SeekPosition::After(3))).await.sequence, 3);
}

#[tokio::test]
async fn unknown_type_word_does_not_block_list_change_or_delete() {
    let opened = open().with_events(2).await;
    opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await;
    opened
        .connection()
        .execute("UPDATE subscriptions SET types = 'of.tomorrow message.*'", [])
        .expect("written");
    assert_eq!(opened.store.subscriptions(None, 9).await.expect("readable").len(), 1);
    opened.changed("s", acknowledge(1)).await;
    let words: String = opened
        .connection()
        .query_row("SELECT types FROM subscriptions", [], |row| row.get(0))
        .expect("there");
    assert_eq!(words, "of.tomorrow message.*", "unknown words stay stored");
    opened.changed("s", Change::Delete).await;
}

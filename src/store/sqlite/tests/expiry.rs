//! What is forgotten and what is not, and when customers last wrote.

use super::*;

use MessageState::{Accepted, Sent};

fn later() -> UnixMillis {
    UnixMillis(UnixMillis::now().0 + 1_000)
}

const NEVER: UnixMillis = UnixMillis(0);

impl Opened {
    async fn forget(&self, requests: UnixMillis, messages: UnixMillis, most: u32) -> u64 {
        match self.one(Op::Expire { now: NEVER, requests, messages, most }).await {
            OpResult::Expired(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    async fn last_received(&self, customer: &str, own: Option<&str>) -> Option<i64> {
        let (customer, own) = (customer.parse().expect("an address"), own.map(|own| own.parse()));
        let own = own.transpose().expect("a number");
        let found = self.store.last_received(&account("acme"), &customer, own.as_ref()).await;
        found.expect("readable").map(|moment| moment.0)
    }
}

fn customer(phone: &str, user: &str) -> Party {
    Party { phone_number: phone.to_owned(), user_id: user.to_owned(), ..Party::default() }
}

#[tokio::test]
async fn requests_that_ended_are_forgotten_in_small_steps_and_their_messages_stay() {
    let opened = open();
    let ids = ["a", "b", "c"];
    let mut messages = Vec::new();
    for id in ids {
        messages.push(opened.in_doubt(id).await);
    }
    assert_eq!(opened.forget(UnixMillis(UnixMillis::now().0 - 60_000), NEVER, 10).await, 0);
    assert_eq!(opened.forget(later(), NEVER, 2).await, 2);
    assert_eq!(opened.forget(later(), NEVER, 2).await, 1);
    for id in ids {
        assert_eq!(opened.record(id).await, None);
    }
    opened.one(answer("A", proof(messages[0], 1, None))).await;
    assert_eq!(opened.state(messages[0]).await, Some(Accepted), "a proof counts without a request");
    assert_eq!(opened.attempt("a", Some(1)).await.0, 2, "whoever knows of attempt 1 may go on");
    assert_eq!(opened.stands("a").await, Some(("in flight", 2)));
}

#[tokio::test]
async fn a_proof_of_an_older_message_says_nothing_of_a_newer_request_of_its_id() {
    let opened = open();
    let old = opened.in_doubt("r").await;
    opened.forget(later(), NEVER, 10).await;
    let new = opened.in_doubt("r").await;
    opened.one(answer("A", proof(old, 1, None))).await;
    assert_eq!(opened.state(old).await, Some(Accepted));
    assert_eq!((opened.stands("r").await, opened.state(new).await), {
        (Some(("unknown", 1)), Some(MessageState::Unknown))
    });
}

#[tokio::test]
async fn what_is_in_flight_is_never_forgotten_nor_its_message() {
    let opened = open();
    let (_, first) = opened.attempt("first", None).await;
    let again = opened.in_doubt("again").await;
    opened.attempt("again", Some(1)).await;
    assert_eq!(opened.forget(later(), later(), 10).await, 0);
    assert_eq!(opened.stands("first").await, Some(("in flight", 1)));
    assert_eq!(opened.stands("again").await, Some(("in flight", 2)));
    assert!(opened.message(first).await.is_some() && opened.message(again).await.is_some());
}

#[tokio::test]
async fn messages_are_forgotten_with_all_their_names_but_not_before_their_requests() {
    let opened = open();
    opened.attempt("r", None).await;
    let kept = opened.end("r", 1, accepted(&["P"])).await.message.expect("kept");
    let gone = opened.sent(&draft(), accepted(&["Q"])).await.message.expect("kept");
    assert_eq!(opened.forget(NEVER, later(), 10).await, 1);
    assert_eq!(opened.message(gone.id).await, None);
    assert_eq!(opened.message(kept.id).await, Some(kept.clone()), "its request is still answered from it");
    // Its id is nobody's now: a late status has a life of its own.
    opened.one(status("acme", "Q", Some(Sent), None)).await;
    assert_eq!(opened.events().await.last().expect("told").1, " Some(Sent) false");

    assert_eq!(opened.forget(later(), later(), 10).await, 1);
    assert_eq!(opened.message(kept.id).await, None);
    assert_eq!(opened.record("r").await, None);
}

#[tokio::test]
async fn what_was_reported_of_messages_that_never_came_is_forgotten() {
    let opened = open();
    opened.one(status("acme", "P", Some(Sent), None)).await;
    opened.one(answer("A", proof(MessageId::generate(), 1, None))).await;
    assert_eq!(opened.forget(later(), NEVER, 10).await, 0);
    assert_eq!(opened.forget(later(), later(), 10).await, 2);
    let message = opened.sent(&draft(), accepted(&["P"])).await.message.expect("kept");
    assert_eq!(message.state, Accepted, "nothing is left of the status");
}

#[tokio::test]
async fn a_customer_last_wrote_when_the_provider_says_so_but_not_in_the_future() {
    let opened = open();
    let phone = "+15550100001";
    let before = UnixMillis::now().0;
    let write = |id: &'static str, at: Option<i64>| {
        written(false, id, customer(phone, ""), "+15550100002", at.map(UnixMillis), None)
    };
    assert_eq!(opened.last_received(phone, None).await, None);
    opened.one(write("1", Some(5_000))).await;
    assert_eq!(opened.last_received(phone, None).await, Some(5_000));
    opened.one(write("2", Some(4_000))).await;
    assert_eq!(opened.last_received(phone, None).await, Some(5_000), "it is the newest that counts");
    opened.one(write("3", Some(before + 1_000_000))).await;
    let clamped = opened.last_received(phone, None).await.expect("known");
    assert!((before..=UnixMillis::now().0).contains(&clamped), "{clamped}");
    assert_eq!(opened.one(write("1", None)).await, OpResult::Duplicate);
    assert_eq!(opened.last_received(phone, None).await, Some(clamped), "a repetition is no new message");
}

#[tokio::test]
async fn a_customer_is_known_by_each_address_and_to_each_number_of_ours() {
    let opened = open();
    let (one, other) = ("+15550100002", "+15550100003");
    let write = |id: &'static str, sender: Party, own: &'static str, at: i64| {
        written(false, id, sender, own, Some(UnixMillis(at)), None)
    };
    opened.one(write("1", customer("+15550100001", "US.1"), one, 1_000)).await;
    opened.one(write("2", customer("", "US.1"), other, 2_000)).await;
    for (address, own, expected) in [
        ("+15550100001", None, Some(1_000)),
        ("+15550100001", Some(one), Some(1_000)),
        ("+15550100001", Some(other), None),
        ("bsuid:US.1", None, Some(2_000)),
        ("bsuid:US.1", Some(one), Some(1_000)),
        ("bsuid:US.1", Some(other), Some(2_000)),
        ("+15550100009", None, None),
    ] {
        assert_eq!(opened.last_received(address, own).await, expected, "{address} {own:?}");
    }
    opened.one(write("3", customer("+15550100001", ""), "", 3_000)).await;
    assert_eq!(opened.last_received("+15550100001", Some(other)).await, Some(3_000), "it may have been this");
    let echo = written(true, "4", customer("+15550100009", ""), one, None, None);
    opened.one(echo).await;
    assert_eq!(opened.last_received("+15550100009", None).await, None, "an echo is ours");

    assert_eq!(opened.forget(NEVER, UnixMillis(2_000), 10).await, 2);
    assert_eq!(opened.last_received("bsuid:US.1", Some(one)).await, None);
    assert_eq!(opened.last_received("bsuid:US.1", None).await, Some(2_000));
}

#[tokio::test]
async fn a_customer_who_wrote_something_unreadable_wrote() {
    let opened = open();
    let sender = customer("+15550100001", "US.1");
    let mut op = written(false, "", sender, "+15550100002", Some(UnixMillis(7_000)), None);
    if let Op::Append(append) = &mut op
        && let Payload::MessageReceived(message) = &mut append.event.payload
    {
        append.identity = None;
        message.content =
            ReportedContent::Unsupported { provider_kind: "sticker".to_owned(), raw_json: "{}".to_owned() };
    }
    opened.one(op).await;
    for (address, own) in [("+15550100001", None), ("bsuid:US.1", Some("+15550100002"))] {
        assert_eq!(opened.last_received(address, own).await, Some(7_000), "{address}");
    }
}

#[tokio::test]
async fn a_request_is_remembered_from_its_end_also_where_the_clock_was_behind_then() {
    let opened = open();
    opened.one(append("acme", None, "as late as it is")).await;
    opened.in_doubt("before").await;
    opened.attempt("behind", None).await;
    opened.attempt("again", None).await;
    let mut ends = vec![opened.end_op(Some("behind"), 1, None, accepted(&["P"]))];
    ends.push(opened.end_op(Some("again"), 1, None, unknown()));
    for mut end in ends {
        if let Op::FinishAttempt(end) = &mut end {
            end.end_time = UnixMillis(end.end_time.0 - 2 * 86_400_000);
        }
        opened.one(end).await;
    }
    // All of them ended just now.
    let a_day_ago = UnixMillis(UnixMillis::now().0 - 86_400_000);
    assert_eq!(opened.forget(a_day_ago, NEVER, 10).await, 0);
    for id in ["before", "behind", "again"] {
        assert!(opened.record(id).await.is_some(), "{id}");
    }
}

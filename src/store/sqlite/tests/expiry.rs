//! Which rows expire, and when customers last wrote.

use super::*;

use MessageState::{Accepted, Sent};

fn later() -> UnixMillis {
    UnixMillis(UnixMillis::now().0 + 1_000)
}

const NEVER: UnixMillis = UnixMillis(0);

impl Opened {
    async fn expire(&self, requests: UnixMillis, messages: UnixMillis, max_rows: u32) -> u64 {
        match self.commit_one(Op::Expire { now: NEVER, requests, messages, max_rows }).await {
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
async fn ended_requests_expire_in_steps_and_their_messages_stay() {
    let opened = open();
    let ids = ["a", "b", "c"];
    let mut messages = Vec::new();
    for id in ids {
        messages.push(opened.unknown_attempt(id).await);
    }
    assert_eq!(opened.expire(UnixMillis(UnixMillis::now().0 - 60_000), NEVER, 10).await, 0);
    assert_eq!(opened.expire(later(), NEVER, 2).await, 2);
    assert_eq!(opened.expire(later(), NEVER, 2).await, 1);
    for id in ids {
        assert_eq!(opened.record(id).await, None);
    }
    opened.commit_one(answer("A", proof(messages[0], 1, None))).await;
    assert_eq!(opened.state(messages[0]).await, Some(Accepted), "a proof counts without a request");
    assert_eq!(opened.attempt("a", Some(1)).await.0, 2, "a caller that knows attempt 1 may resend");
    assert_eq!(opened.request_state("a").await, Some(("in flight", 2)));
}

#[tokio::test]
async fn proof_of_old_message_does_not_change_new_request_with_its_id() {
    let opened = open();
    let old = opened.unknown_attempt("r").await;
    opened.expire(later(), NEVER, 10).await;
    let new = opened.unknown_attempt("r").await;
    opened.commit_one(answer("A", proof(old, 1, None))).await;
    assert_eq!(opened.state(old).await, Some(Accepted));
    assert_eq!((opened.request_state("r").await, opened.state(new).await), {
        (Some(("unknown", 1)), Some(MessageState::Unknown))
    });
}

#[tokio::test]
async fn request_in_flight_and_its_message_never_expire() {
    let opened = open();
    let (_, first) = opened.attempt("first", None).await;
    let again = opened.unknown_attempt("again").await;
    opened.attempt("again", Some(1)).await;
    assert_eq!(opened.expire(later(), later(), 10).await, 0);
    assert_eq!(opened.request_state("first").await, Some(("in flight", 1)));
    assert_eq!(opened.request_state("again").await, Some(("in flight", 2)));
    assert!(opened.message(first).await.is_some() && opened.message(again).await.is_some());
}

#[tokio::test]
async fn messages_expire_with_all_keys_but_not_before_their_requests() {
    let opened = open();
    opened.attempt("r", None).await;
    let kept = opened.finish_request("r", 1, accepted(&["P"])).await.message.expect("kept");
    let expired = opened.sent(&draft(), accepted(&["Q"])).await.message.expect("kept");
    assert_eq!(opened.expire(NEVER, later(), 10).await, 1);
    assert_eq!(opened.message(expired.id).await, None);
    assert_eq!(opened.message(kept.id).await, Some(kept.clone()), "its request still needs it");
    // The provider's id is free now, so a late status is tracked without a message.
    opened.commit_one(status("acme", "Q", Some(Sent), None)).await;
    assert_eq!(opened.events().await.last().expect("an event").1, " Some(Sent) false");

    assert_eq!(opened.expire(later(), later(), 10).await, 1);
    assert_eq!(opened.message(kept.id).await, None);
    assert_eq!(opened.record("r").await, None);
}

#[tokio::test]
async fn early_reports_without_a_message_expire() {
    let opened = open();
    opened.commit_one(status("acme", "P", Some(Sent), None)).await;
    opened.commit_one(answer("A", proof(MessageId::generate(), 1, None))).await;
    assert_eq!(opened.expire(later(), NEVER, 10).await, 0);
    assert_eq!(opened.expire(later(), later(), 10).await, 2);
    let message = opened.sent(&draft(), accepted(&["P"])).await.message.expect("kept");
    assert_eq!(message.state, Accepted, "the status has expired");
}

#[tokio::test]
async fn last_received_is_the_providers_time_clamped_to_now() {
    let opened = open();
    let phone = "+15550100001";
    let before = UnixMillis::now().0;
    let write = |id: &'static str, at: Option<i64>| {
        written(false, id, customer(phone, ""), "+15550100002", at.map(UnixMillis), None)
    };
    assert_eq!(opened.last_received(phone, None).await, None);
    opened.commit_one(write("1", Some(5_000))).await;
    assert_eq!(opened.last_received(phone, None).await, Some(5_000));
    opened.commit_one(write("2", Some(4_000))).await;
    assert_eq!(opened.last_received(phone, None).await, Some(5_000), "the newest counts");
    opened.commit_one(write("3", Some(before + 1_000_000))).await;
    let clamped = opened.last_received(phone, None).await.expect("known");
    assert!((before..=UnixMillis::now().0).contains(&clamped), "{clamped}");
    assert_eq!(opened.commit_one(write("1", None)).await, OpResult::Duplicate);
    assert_eq!(opened.last_received(phone, None).await, Some(clamped), "a duplicate is not a new message");
}

#[tokio::test]
async fn last_received_is_kept_per_address_and_own_number() {
    let opened = open();
    let (one, other) = ("+15550100002", "+15550100003");
    let write = |id: &'static str, sender: Party, own: &'static str, at: i64| {
        written(false, id, sender, own, Some(UnixMillis(at)), None)
    };
    opened.commit_one(write("1", customer("+15550100001", "US.1"), one, 1_000)).await;
    opened.commit_one(write("2", customer("", "US.1"), other, 2_000)).await;
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
    opened.commit_one(write("3", customer("+15550100001", ""), "", 3_000)).await;
    assert_eq!(
        opened.last_received("+15550100001", Some(other)).await,
        Some(3_000),
        "it may have been this number"
    );
    let echo = written(true, "4", customer("+15550100009", ""), one, None, None);
    opened.commit_one(echo).await;
    assert_eq!(opened.last_received("+15550100009", None).await, None, "an echo is ours");

    assert_eq!(opened.expire(NEVER, UnixMillis(2_000), 10).await, 2);
    assert_eq!(opened.last_received("bsuid:US.1", Some(one)).await, None);
    assert_eq!(opened.last_received("bsuid:US.1", None).await, Some(2_000));
}

#[tokio::test]
async fn unreadable_message_counts_as_received() {
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
    opened.commit_one(op).await;
    for (address, own) in [("+15550100001", None), ("bsuid:US.1", Some("+15550100002"))] {
        assert_eq!(opened.last_received(address, own).await, Some(7_000), "{address}");
    }
}

#[tokio::test]
async fn retention_starts_at_the_end_even_if_the_clock_was_behind() {
    let opened = open();
    opened.commit_one(append("acme", None, "latest")).await;
    opened.unknown_attempt("before").await;
    opened.attempt("behind", None).await;
    opened.attempt("again", None).await;
    let mut ends = vec![opened.finish_op(Some("behind"), 1, None, accepted(&["P"]))];
    ends.push(opened.finish_op(Some("again"), 1, None, unknown()));
    for mut end in ends {
        if let Op::FinishAttempt(end) = &mut end {
            end.end_time = UnixMillis(end.end_time.0 - 2 * 86_400_000);
        }
        opened.commit_one(end).await;
    }
    // All of these requests ended just now.
    let a_day_ago = UnixMillis(UnixMillis::now().0 - 86_400_000);
    assert_eq!(opened.expire(a_day_ago, NEVER, 10).await, 0);
    for id in ["before", "behind", "again"] {
        assert!(opened.record(id).await.is_some(), "{id}");
    }
}

//! `ListMessages`: order, pages, filters, and what a message records of its send.

use switchboard::pb::v1;
use switchboard::pb::v1::{
    ContentKind, ListMessagesRequest, ListMessagesResponse, Message, MessageFilter, MessageState,
    SendMessageRequest, TemplateMessage, send_message_request,
};
use switchboard::sandbox::{Fault, FaultRule};
use tonic::{Code, Status};

use crate::support::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, fields, reason, text, within};

async fn list(gateway: &Gateway, request: ListMessagesRequest) -> Result<ListMessagesResponse, Status> {
    Ok(within(gateway.messages().list_messages(request)).await?.into_inner())
}

fn all(account: &str) -> ListMessagesRequest {
    ListMessagesRequest { account: account.to_owned(), ..ListMessagesRequest::default() }
}

fn filtered(filter: MessageFilter) -> ListMessagesRequest {
    ListMessagesRequest { filter: Some(filter), ..all(CONNECTLY) }
}

/// All messages of a list, read in pages of that size.
async fn read_pages(gateway: &Gateway, request: ListMessagesRequest, page_size: u32) -> Vec<Message> {
    let mut request = ListMessagesRequest { page_size, ..request };
    let mut messages = Vec::new();
    loop {
        let page = list(gateway, request.clone()).await.expect("listed");
        assert!(page.messages.len() <= page_size as usize);
        messages.extend(page.messages);
        if page.next_page_token.is_empty() {
            return messages;
        }
        request.page_token = page.next_page_token;
    }
}

async fn ids(gateway: &Gateway, filter: MessageFilter) -> Vec<String> {
    let listed = list(gateway, filtered(filter)).await.expect("listed");
    listed.messages.into_iter().map(|message| message.message_id).collect()
}

#[tokio::test]
async fn messages_are_listed_newest_first_in_any_page_size() {
    let gateway = Start::quiet().start().await;
    let mut sent = Vec::new();
    for body in ["1", "2", "3", "4", "5"] {
        sent.push(gateway.send(text(CONNECTLY, body)).await.expect("accepted").message_id);
    }
    gateway.send(text(CONNECTBY, "other account")).await.expect("accepted");
    sent.reverse();
    for page_size in [1, 2, 5, 1_000] {
        let listed = read_pages(&gateway, all(CONNECTLY), page_size).await;
        let listed: Vec<_> = listed.into_iter().map(|message| message.message_id).collect();
        // Messages of one millisecond are ordered by their ids.
        let mut expected = sent.clone();
        expected.sort_by(|one, other| other.cmp(one));
        let mut sorted = listed.clone();
        sorted.sort_by(|one, other| other.cmp(one));
        assert_eq!((sorted, listed.len()), (expected, 5), "pages of {page_size}");
    }
    let listed = read_pages(&gateway, all(CONNECTLY), 2).await;
    let times: Vec<_> = listed.iter().map(|message| message.create_time.expect("present")).collect();
    assert!(times.is_sorted_by(|newer, older| (newer.seconds, newer.nanos) >= (older.seconds, older.nanos)));
}

#[tokio::test]
async fn message_records_what_was_sent() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest {
        sender: Some("+15550100002".to_owned()),
        campaign_name: "spring".to_owned(),
        ..text(CONNECTLY, "Hello!")
    };
    let sent = gateway.send(request).await.expect("accepted");
    assert_eq!(sent.sender, "+15550100002");
    assert_eq!((sent.content_kind(), sent.campaign_name.as_str()), (ContentKind::Text, "spring"));
    assert_eq!((sent.template_name.as_str(), sent.terminal), ("", false));
    assert_eq!(list(&gateway, all(CONNECTLY)).await.expect("listed").messages, [sent]);

    let parameter = |text: &str| v1::Parameter {
        value: Some(v1::parameter::Value::Text(text.to_owned())),
        ..v1::Parameter::default()
    };
    let filled = TemplateMessage {
        name: "order_update".to_owned(),
        language: "en".to_owned(),
        body: vec![parameter("Ada"), parameter("A-17")],
        ..TemplateMessage::default()
    };
    let content = Some(send_message_request::Content::Template(filled));
    let sent = gateway.send(SendMessageRequest { content, ..text(CONNECTLY, "") }).await.expect("accepted");
    assert_eq!((sent.content_kind(), sent.template_name.as_str()), (ContentKind::Template, "order_update"));

    let sent = gateway.send(text(CONNECTBY, "Hello!")).await.expect("accepted");
    assert_eq!(sent.recipient_wa_id, CUSTOMER.trim_start_matches('+'));
    let listed = list(&gateway, all(CONNECTBY)).await.expect("listed").messages;
    assert_eq!(listed, [sent]);
}

#[tokio::test]
async fn filters_select_by_customer_state_campaign_and_time() {
    let gateway = Start::quiet().start().await;
    let spring = SendMessageRequest { campaign_name: "spring".to_owned(), ..text(CONNECTLY, "1") };
    let first = gateway.send(spring).await.expect("accepted");
    let mexico = SendMessageRequest { to: "+5215512345678".to_owned(), ..text(CONNECTLY, "2") };
    let second = gateway.send(mexico).await.expect("accepted");

    let by_campaign = MessageFilter { campaign_name: "spring".to_owned(), ..MessageFilter::default() };
    assert_eq!(ids(&gateway, by_campaign).await, [first.message_id.as_str()]);
    for spelling in ["+525512345678", "5215512345678"] {
        let by_customer = MessageFilter { customer: spelling.to_owned(), ..MessageFilter::default() };
        assert_eq!(ids(&gateway, by_customer).await, [second.message_id.as_str()], "{spelling}");
    }
    let by_state = MessageFilter { state: MessageState::Accepted.into(), ..MessageFilter::default() };
    assert_eq!(ids(&gateway, by_state).await.len(), 2);
    let by_state = MessageFilter { state: MessageState::Read.into(), ..MessageFilter::default() };
    assert!(ids(&gateway, by_state).await.is_empty());
    let by_time = MessageFilter { end_time: first.create_time, ..MessageFilter::default() };
    assert!(ids(&gateway, by_time).await.is_empty());
    let by_time = MessageFilter { start_time: first.create_time, ..MessageFilter::default() };
    assert_eq!(ids(&gateway, by_time).await.len(), 2);
}

#[tokio::test]
async fn refused_first_attempt_is_not_listed() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(400))).await;
    gateway.send(text(CONNECTLY, "1")).await.expect_err("refused");
    assert!(list(&gateway, all(CONNECTLY)).await.expect("listed").messages.is_empty());
}

#[tokio::test]
async fn invalid_listing_is_rejected_with_field_paths() {
    let gateway = Start::quiet().start().await;
    let late = prost_types::Timestamp { seconds: 10, nanos: 0 };
    let request = ListMessagesRequest {
        page_size: 1_001,
        ..filtered(MessageFilter {
            customer: "nobody".to_owned(),
            state: 5,
            template_name: "x".repeat(513),
            campaign_name: "x".repeat(513),
            start_time: Some(late),
            end_time: Some(prost_types::Timestamp { seconds: 9, nanos: 0 }),
        })
    };
    let error = list(&gateway, request).await.expect_err("rejected");
    assert_eq!(error.code(), Code::InvalidArgument);
    let mut paths = fields(&error);
    paths.sort();
    assert_eq!(
        paths,
        [
            "filter.campaign_name",
            "filter.customer",
            "filter.end_time",
            "filter.state",
            "filter.template_name",
            "page_size"
        ]
    );
}

#[tokio::test]
async fn page_token_belongs_to_one_account_and_one_filter() {
    let gateway = Start::quiet().start().await;
    for body in ["1", "2"] {
        gateway.send(text(CONNECTLY, body)).await.expect("accepted");
    }
    let first = ListMessagesRequest { page_size: 1, ..all(CONNECTLY) };
    let token = list(&gateway, first).await.expect("listed").next_page_token;
    assert!(!token.is_empty());
    let filter = MessageFilter { campaign_name: "spring".to_owned(), ..MessageFilter::default() };
    for request in [
        ListMessagesRequest { page_token: token.clone(), ..filtered(filter) },
        ListMessagesRequest { page_token: token.clone(), ..all(CONNECTBY) },
        ListMessagesRequest { page_token: "x".to_owned(), ..all(CONNECTLY) },
    ] {
        let error = list(&gateway, request).await.expect_err("rejected");
        assert_eq!(reason(&error), "PAGE_TOKEN_MALFORMED");
    }
}

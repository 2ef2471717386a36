//! Follows a named subscription and answers customers who ask a question. The server stores the position of the
//! subscription, so the program misses no question while it is not running.

use std::env;

use switchboard_client::tonic::Code;
use switchboard_client::v1::subscribe_request::Start;
use switchboard_client::v1::{
    CreateSubscriptionRequest, Event, EventFilter, SendMessageRequest, StartPosition, SubscribeRequest,
    Subscription, Text, create_subscription_request, event::Payload, message_received,
    send_message_request::Content,
};
use switchboard_client::{Client, Error, StreamItem};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(address).await?;

    let filter = EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() };
    let create = CreateSubscriptionRequest {
        subscription_id: "answers".to_owned(),
        subscription: Some(Subscription { filter: Some(filter), ..Subscription::default() }),
        start: Some(create_subscription_request::Start::Position(StartPosition::Earliest.into())),
    };
    match client.call(create).await {
        // An earlier run of the program created it.
        Err(error) if error.code() == Code::AlreadyExists => {}
        created => drop(created?),
    }

    let start = Some(Start::SubscriptionId("answers".to_owned()));
    let mut events = client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    // Each call of `next` marks the event before it as handled.
    while let Some(item) = events.next().await? {
        let StreamItem::Event(event) = item else { continue };
        match answer(&client, event).await {
            // The server is unavailable. The event is not handled, so the next run of the program receives it again.
            Err(error) if error.code() == Code::Unavailable => return Err(error),
            // Another attempt would fail too.
            Err(error) => eprintln!("not answered: {error}"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Answers a question. The `request_id` contains the id of the event, so a redelivered event is not answered twice.
async fn answer(client: &Client, event: Event) -> Result<(), Error> {
    let Some(Payload::MessageReceived(received)) = event.payload else { return Ok(()) };
    let Some(message_received::Content::Text(text)) = received.content else { return Ok(()) };
    if !text.body.ends_with('?') {
        return Ok(());
    }
    let body = "Thank you for asking! We are open from nine to five.".to_owned();
    let sent = client
        .call(SendMessageRequest {
            account: event.account,
            to: received.sender.unwrap_or_default().address,
            request_id: format!("answer-{}", event.event_id),
            content: Some(Content::Text(Text { body })),
            ..SendMessageRequest::default()
        })
        .await?;
    println!("answered with {}", sent.message.map(|message| message.message_id).unwrap_or_default());
    Ok(())
}

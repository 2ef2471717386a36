//! Follows a named subscription and answers customers who ask something. The gateway keeps the place: stop it, start it
//! again, and no question is left out.

use std::env;

use switchboard::client::tonic::Code;
use switchboard::client::{Client, Error, Happened};
use switchboard::pb::v1::subscribe_request::Start;
use switchboard::pb::v1::{
    CreateSubscriptionRequest, Event, EventFilter, SendMessageRequest, StartPosition, SubscribeRequest, Text,
    create_subscription_request, event::Payload, message_received, send_message_request::Content,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(format!("http://{address}")).await?;

    let create = CreateSubscriptionRequest {
        subscription: "answers".to_owned(),
        filter: Some(EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() }),
        start: Some(create_subscription_request::Start::Position(StartPosition::Earliest.into())),
    };
    match client.call(create).await {
        // It was made when this ran for the first time.
        Err(error) if error.code() == Code::AlreadyExists => {}
        made => drop(made?),
    }

    let start = Some(Start::Subscription("answers".to_owned()));
    let mut events = client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    // To ask for the next one is to be done with the one before.
    while let Some(happened) = events.next().await? {
        let Happened::Event(event) = happened else { continue };
        match answer(&client, event).await {
            // Nothing can be answered now. The event is not done with, and comes again when this is started again.
            Err(error) if error.code() == Code::Unavailable => return Err(error),
            // Another try would fail like this one.
            Err(error) => eprintln!("not answered: {error}"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Answers a question. Should the event come again, its `request_id` keeps a second answer back.
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
            request_id: format!("answer-{}", event.id),
            content: Some(Content::Text(Text { body })),
            ..SendMessageRequest::default()
        })
        .await?;
    println!("answered with {}", sent.message.map(|message| message.message_id).unwrap_or_default());
    Ok(())
}

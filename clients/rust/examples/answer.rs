//! Follows a named subscription and answers customers who ask a question. The server stores the position of the
//! subscription, so the program misses no question while it is not running.

use std::env;
use std::time::Duration;

use switchboard_client::tonic::Code;
use switchboard_client::v1::subscribe_request::Start;
use switchboard_client::v1::{
    CreateSubscriptionRequest, Event, EventFilter, SendMessageRequest, StartPosition, SubscribeRequest,
    Subscription, Text, create_subscription_request, event::Payload, message_received,
    send_message_request::Content,
};
use switchboard_client::{Client, Error, Reason, StreamItem, parse_reason};

const SUBSCRIPTION: &str = "answers";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(address).await?;

    let filter = EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() };
    let create = CreateSubscriptionRequest {
        subscription_id: SUBSCRIPTION.to_owned(),
        subscription: Some(Subscription { filter: Some(filter), ..Subscription::default() }),
        start: Some(create_subscription_request::Start::Position(StartPosition::Earliest.into())),
    };
    match client.call(create).await {
        // An earlier run of the program created it.
        Err(error) if error.code() == Code::AlreadyExists => {}
        created => drop(created?),
    }

    let start = Some(Start::SubscriptionId(SUBSCRIPTION.to_owned()));
    let mut events = client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    // Each call of `next` marks the event before it as handled.
    while let Some(item) = events.next().await? {
        let StreamItem::Event(event) = item else { continue };
        match answer_patiently(&client, &event).await {
            // Another attempt would fail too.
            Err(error) if refuses_message(&error) => eprintln!("not answered: {error}"),
            // The operator must repair something. The event is not handled, so the next run receives it again.
            result => result?,
        }
    }
    Ok(())
}

/// Tries again, in place, until the answer is sent or an error says that waiting does not help. A call of `next` would mark
/// the event as handled.
async fn answer_patiently(client: &Client, event: &Event) -> Result<(), Error> {
    let mut pause = Duration::from_millis(500);
    loop {
        match answer(client, event.clone()).await {
            Err(error) if may_pass(&error) => {
                let delay = error.retry_delay().unwrap_or_default() + pause;
                eprintln!("trying again in {delay:?}: {error}");
                tokio::time::sleep(delay).await;
                pause = (2 * pause).min(Duration::from_secs(30));
            }
            result => return result,
        }
    }
}

/// Whether a later attempt may succeed: the server or the provider is busy or away.
fn may_pass(error: &Error) -> bool {
    error.retry_delay().is_some()
        || match error.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => true,
            Code::ResourceExhausted => parse_reason(error.reason()) != Reason::ProviderCapped,
            _ => false,
        }
}

/// Whether only this message is refused. Any other error needs the operator.
fn refuses_message(error: &Error) -> bool {
    match parse_reason(error.reason()) {
        Reason::ProviderCredentialsRejected
        | Reason::ProviderPermissionDenied
        | Reason::ProviderAccountRestricted => false,
        Reason::ProviderCapped => true,
        _ => matches!(error.code(), Code::InvalidArgument | Code::FailedPrecondition),
    }
}

/// Answers a question. The `request_id` consists of the subscription and the event, so a redelivered event is not answered
/// twice, and another service may answer it too.
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
            request_id: format!("{SUBSCRIPTION}:{}", event.event_id),
            content: Some(Content::Text(Text { body })),
            ..SendMessageRequest::default()
        })
        .await?;
    println!("answered with {}", sent.message.map(|message| message.message_id).unwrap_or_default());
    Ok(())
}

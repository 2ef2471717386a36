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

/// The id of the named subscription. Use one per program: two programs that share one both receive every event.
const SUBSCRIPTION: &str = "answer";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    // The client connects with the first call, which waits if the server is not running yet.
    run(&Client::builder(address).timeout(Duration::from_secs(40)).connect_lazy()?).await
}

/// Answers until the operator must repair something.
pub(crate) async fn run(client: &Client) -> Result<(), Error> {
    ensure_subscription(client).await?;
    let start = Some(Start::SubscriptionId(SUBSCRIPTION.to_owned()));
    let mut events = client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    // Each call of `next` marks the event before it as handled.
    while let Some(item) = events.next().await? {
        let StreamItem::Event(event) = item else { continue };
        let Some(request) = reply(event) else { continue };
        if let Err(error) = send(client, request).await {
            // The event is not handled, so the next run receives it again. Those before it are.
            if let Err(failed) = events.close().await {
                eprintln!("the last acknowledgement failed: {failed}");
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Creates the subscription with the first start. A later one changes its filter, if the program has another one now.
async fn ensure_subscription(client: &Client) -> Result<(), Error> {
    let filter = EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() };
    let request = CreateSubscriptionRequest {
        subscription_id: SUBSCRIPTION.to_owned(),
        subscription: Some(Subscription { filter: Some(filter), ..Subscription::default() }),
        start: Some(create_subscription_request::Start::Position(StartPosition::Earliest.into())),
    };
    let mut backoff = Backoff::new();
    loop {
        match client.ensure_subscription(request.clone()).await {
            // The server may be away for longer than one call is retried.
            Err(error) if decide(&error) == Decision::Wait => backoff.wait_after(&error).await,
            result => return result.map(drop),
        }
    }
}

/// The answer to a question. Its `request_id` consists of the subscription and the event, so a redelivered event is not
/// answered twice, and another service may answer it too.
fn reply(event: Event) -> Option<SendMessageRequest> {
    let Some(Payload::MessageReceived(received)) = event.payload else { return None };
    let Some(message_received::Content::Text(text)) = received.content else { return None };
    let body = "Thank you for asking! We are open from nine to five.".to_owned();
    text.body.ends_with('?').then(|| SendMessageRequest {
        account: event.account,
        to: received.sender.unwrap_or_default().address,
        request_id: format!("{SUBSCRIPTION}:{}", event.event_id),
        content: Some(Content::Text(Text { body })),
        ..SendMessageRequest::default()
    })
}

/// Sends the answer. While the provider throttles or the server restarts, it waits in place: a call of `next` would mark the
/// event as handled.
///
/// Returns an error only if the event must not be marked as handled.
async fn send(client: &Client, request: SendMessageRequest) -> Result<(), Error> {
    let mut backoff = Backoff::new();
    loop {
        match client.call(request.clone()).await {
            Ok(sent) => {
                let message = sent.message.unwrap_or_default();
                println!("answered with {}", message.message_id);
                return Ok(());
            }
            Err(error) => match decide(&error) {
                Decision::Wait => backoff.wait_after(&error).await,
                Decision::Skip => {
                    eprintln!("no answer for {}: {error}", request.request_id);
                    return Ok(());
                }
                Decision::End => return Err(error),
            },
        }
    }
}

/// What to do after a failed call.
#[derive(Clone, Copy, PartialEq)]
enum Decision {
    /// Try again later: the call can still succeed.
    Wait,
    /// This message will never be accepted, or an earlier attempt may have sent it.
    Skip,
    /// An operator must repair something.
    End,
}

fn decide(error: &Error) -> Decision {
    match parse_reason(error.reason()) {
        Reason::RequestInvalid
        | Reason::RequestIdReused
        | Reason::ProviderUnsupported
        | Reason::SendOutcomeUnknown
        | Reason::ProviderCapped
        | Reason::ProviderRefused
        | Reason::SessionWindowClosed
        | Reason::RecipientNotReachable
        | Reason::RecipientOptedOut
        | Reason::RecipientInvalid
        | Reason::ContentRejected => return Decision::Skip,
        _ => {}
    }
    match error.code() {
        _ if error.retry_delay().is_some() => Decision::Wait,
        // The server's timer may end a call before the client's does. The code is then CANCELLED.
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled => {
            Decision::Wait
        }
        _ => Decision::End,
    }
}

/// Growing delays with jitter, so programs that the server gave the same delay do not all return at once.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(Duration::from_secs(1))
    }

    async fn wait_after(&mut self, error: &Error) {
        let jitter = Duration::from_millis(fastrand::u64(..1_000));
        let delay = self.0.max(error.retry_delay().unwrap_or_default()) + jitter;
        self.0 = (2 * self.0).min(Duration::from_secs(30));
        eprintln!("trying again in {delay:?}: {error}");
        tokio::time::sleep(delay).await;
    }
}

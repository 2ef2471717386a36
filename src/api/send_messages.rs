//! `MessageService.SendMessages`: many messages over one stream.
//!
//! One task drives a stream: it reads requests, keeps the sends going, and hands answers over as they come. So a caller
//! who does not read holds up nobody but itself: what its sends wait for is not held while nobody looks at them.
//!
//! **Invariants.** Every request that was read has its place among the answers from the beginning, so that at most
//! [`MOST_UNDER_WAY`] are under way or wait to be read, and no answer ever waits for room. The task ends with its stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::status;
use super::violations::{Fault, Violations};
use super::{Api, convert, parse};
use crate::pb::v1;
use crate::pb::v1::send_messages_response::Result as Outcome;

/// The most requests of one stream that are read and not yet answered.
const MOST_UNDER_WAY: usize = 256;

/// The longest tag, in Unicode code points.
const TAG_CHARACTERS: usize = 128;

/// The stream that `SendMessages` answers with.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated trait names it")]
pub struct Answers {
    answers: mpsc::Receiver<v1::SendMessagesResponse>,
    /// Holds the one task; it ends when this is dropped.
    driver: JoinSet<Result<(), Status>>,
}

/// Sends what comes in, and answers.
pub(super) fn send_messages<R>(api: &Api, requests: R, deadline: Option<Instant>) -> Answers
where
    R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Send + Unpin + 'static,
{
    let (places, answers) = mpsc::channel(MOST_UNDER_WAY);
    let mut driver = JoinSet::new();
    let api = api.clone();
    let stopping = api.stopping.clone();
    driver.spawn(async move {
        let answer = |request| answer(&api, request, deadline);
        drive(requests, answer, &places, stopping.cancelled()).await
    });
    Answers { answers, driver }
}

impl Stream for Answers {
    type Item = Result<v1::SendMessagesResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.answers.poll_recv(cx) {
            Poll::Ready(Some(answer)) => Poll::Ready(Some(Ok(answer))),
            Poll::Pending => Poll::Pending,
            // The task has let go of the channel: all is answered, and it says how the stream ends.
            Poll::Ready(None) => this.driver.poll_join_next(cx).map(|ended| match ended? {
                Ok(Ok(())) => None,
                Ok(Err(status)) => Some(Err(status)),
                Err(died) => std::panic::resume_unwind(died.into_panic()),
            }),
        }
    }
}

/// Reads requests, answers each in its place, and says how the stream ends.
async fn drive<R, F>(
    mut requests: R,
    answer: impl Fn(v1::SendMessagesRequest) -> F,
    places: &mpsc::Sender<v1::SendMessagesResponse>,
    stopping: impl Future<Output = ()>,
) -> Result<(), Status>
where
    R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Unpin,
    F: Future<Output = v1::SendMessagesResponse>,
{
    let mut under_way = FuturesUnordered::new();
    let mut stopping = std::pin::pin!(stopping);
    // The place of the next request.
    let mut place = None;
    // How the stream ends, as soon as nothing more is read.
    let mut end = None;
    loop {
        if place.is_none() {
            place = places.try_reserve().ok();
        }
        tokio::select! {
            biased;
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            () = &mut stopping, if end.is_none() => end = Some(Err(status::stopping())),
            room = places.reserve(), if end.is_none() && place.is_none() => match room {
                Ok(room) => place = Some(room),
                Err(_) => return Ok(()),
            },
            next = requests.next(), if end.is_none() && place.is_some() => match next {
                Some(Ok(request)) => {
                    let place = place.take().expect("just looked");
                    let answer = answer(request);
                    under_way.push(async move { place.send(answer.await) });
                }
                Some(Err(broken)) => end = Some(Err(broken_off(broken))),
                None => end = Some(Ok(())),
            },
            else => return end.unwrap_or(Ok(())),
        }
    }
}

/// The only limit that the library keeps by itself is that of a message's length; what it says then goes to the caller
/// as it is, as it does from every other RPC.
fn broken_off(broken: Status) -> Status {
    if broken.code() == Code::OutOfRange { broken } else { status::stream_broken_off() }
}

async fn answer(
    api: &Api,
    request: v1::SendMessagesRequest,
    deadline: Option<Instant>,
) -> v1::SendMessagesResponse {
    let v1::SendMessagesRequest { mut tag, request } = request;
    let mut violations = Violations::default();
    parse::at_most("tag", &tag, TAG_CHARACTERS, &mut violations);
    if let Some((end, _)) = tag.char_indices().nth(TAG_CHARACTERS) {
        tag.truncate(end);
    }
    let result = match send(api, request, deadline, violations).await {
        Ok(response) => Outcome::Response(response),
        Err(error) => Outcome::Error(error),
    };
    v1::SendMessagesResponse { tag, result: Some(result) }
}

async fn send(
    api: &Api,
    request: Option<v1::SendMessageRequest>,
    deadline: Option<Instant>,
    mut violations: Violations,
) -> Result<v1::SendMessageResponse, v1::Error> {
    let Some(request) = request else {
        violations.add("request", Fault::Required, "must be given");
        return Err(violations.into());
    };
    let parse::Sending { account, message, terms } =
        parse::send_message(request, api.dispatch.accounts(), deadline, violations)?;
    match api.dispatch.send(account.clone(), message, terms).await {
        Ok(done) => Ok(v1::SendMessageResponse {
            message: Some(convert::message(done.value)),
            replayed: done.replayed,
        }),
        Err(failure) => Err(status::send_error(&account, &failure)),
    }
}

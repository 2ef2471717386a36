//! `MessageService.SendMessages`: many messages over one stream.
//!
//! One task drives a stream: it reads requests, keeps the sends going, and hands answers over as they come. So a caller
//! who does not read holds up nobody but itself: what its sends wait for is not held while nobody looks at them.
//!
//! **Invariants.** Every request that was read has its place among the answers from the beginning, so that at most
//! [`MAX_IN_PROGRESS`] are under way or wait to be read, and no answer ever waits for room. The task ends with its stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::parse, response::convert};
use crate::pb::v1;
use crate::pb::v1::send_messages_response::Result as SendResult;

/// The most requests of one stream that are read and not yet answered.
const MAX_IN_PROGRESS: usize = 256;

/// The longest tag, in Unicode code points.
const TAG_CHARACTERS: usize = 128;

/// The stream that `SendMessages` answers with.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated trait names it")]
pub struct ResponseStream {
    responses: mpsc::Receiver<v1::SendMessagesResponse>,
    /// Holds the one task; it ends when this is dropped.
    driver: JoinSet<Result<(), Status>>,
}

/// Sends what comes in, and answers.
pub(in crate::api) fn send_messages<R>(api: &Api, requests: R, deadline: Option<Instant>) -> ResponseStream
where
    R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Send + Unpin + 'static,
{
    let api = api.clone();
    let stopping = api.stopping.clone();
    ResponseStream::new(requests, stopping, move |request| respond(api.clone(), request, deadline))
}

impl ResponseStream {
    fn new<R, F>(
        requests: R,
        stopping: CancellationToken,
        respond: impl Fn(v1::SendMessagesRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Send + Unpin + 'static,
        F: Future<Output = v1::SendMessagesResponse> + Send + 'static,
    {
        let (slots, responses) = mpsc::channel(MAX_IN_PROGRESS);
        let mut driver = JoinSet::new();
        driver.spawn(async move { drive(requests, respond, &slots, stopping.cancelled()).await });
        Self { responses, driver }
    }
}

impl Stream for ResponseStream {
    type Item = Result<v1::SendMessagesResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.responses.poll_recv(cx) {
            Poll::Ready(Some(response)) => Poll::Ready(Some(Ok(response))),
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
    respond: impl Fn(v1::SendMessagesRequest) -> F,
    slots: &mpsc::Sender<v1::SendMessagesResponse>,
    stopping: impl Future<Output = ()>,
) -> Result<(), Status>
where
    R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Unpin,
    F: Future<Output = v1::SendMessagesResponse>,
{
    let mut in_progress = FuturesUnordered::new();
    let mut stopping = std::pin::pin!(stopping);
    // The place of the next request.
    let mut slot = None;
    // How the stream ends, as soon as nothing more is read.
    let mut end = None;
    loop {
        if slot.is_none() {
            slot = slots.try_reserve().ok();
        }
        tokio::select! {
            biased;
            Some(()) = in_progress.next(), if !in_progress.is_empty() => {}
            () = &mut stopping, if end.is_none() => end = Some(Err(status::stopping())),
            permit = slots.reserve(), if end.is_none() && slot.is_none() => match permit {
                Ok(permit) => slot = Some(permit),
                Err(_) => return Ok(()),
            },
            next = requests.next(), if end.is_none() && slot.is_some() => match next {
                Some(Ok(request)) => {
                    let slot = slot.take().expect("just looked");
                    let response = respond(request);
                    in_progress.push(async move { slot.send(response.await) });
                }
                Some(Err(error)) => end = Some(Err(stream_error(error))),
                None => end = Some(Ok(())),
            },
            else => return end.unwrap_or(Ok(())),
        }
    }
}

/// The only limit that the library keeps by itself is that of a message's length; what it says then goes to the caller
/// as it is, as it does from every other RPC.
fn stream_error(error: Status) -> Status {
    if error.code() == Code::OutOfRange { error } else { status::stream_truncated() }
}

async fn respond(
    api: Api,
    request: v1::SendMessagesRequest,
    deadline: Option<Instant>,
) -> v1::SendMessagesResponse {
    let v1::SendMessagesRequest { mut tag, request } = request;
    let mut violations = Violations::default();
    parse::check_length("tag", &tag, TAG_CHARACTERS, &mut violations);
    if let Some((end, _)) = tag.char_indices().nth(TAG_CHARACTERS) {
        tag.truncate(end);
    }
    let result = match send(&api, request, deadline, violations).await {
        Ok(response) => SendResult::Response(response),
        Err(error) => SendResult::Failure(error),
    };
    v1::SendMessagesResponse { tag, result: Some(result) }
}

async fn send(
    api: &Api,
    request: Option<v1::SendMessageRequest>,
    deadline: Option<Instant>,
    mut violations: Violations,
) -> Result<v1::SendMessageResponse, v1::Failure> {
    let Some(request) = request else {
        violations.add("request", ViolationReason::Required, "must be given");
        return Err(violations.into());
    };
    let parse::ParsedSend { account, message, options } =
        parse::send_message(request, api.dispatch.accounts(), deadline, violations)?;
    match api.dispatch.send(account.clone(), message, options).await {
        Ok(completed) => Ok(v1::SendMessageResponse {
            message: Some(convert::message(completed.value)),
            replayed: completed.replayed,
        }),
        Err(failure) => Err(status::send_error(&account, &failure)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{future, poll, stream};
    use tokio::sync::oneshot;
    use tonic_types::StatusExt as _;

    use super::*;

    fn request(tag: &str) -> Result<v1::SendMessagesRequest, Status> {
        Ok(v1::SendMessagesRequest { tag: tag.to_owned(), request: None })
    }

    /// Answers with the tag alone.
    async fn echo(request: v1::SendMessagesRequest) -> v1::SendMessagesResponse {
        v1::SendMessagesResponse { tag: request.tag, result: None }
    }

    /// Requests without end, and how many of them were read.
    fn endless() -> (impl Stream<Item = Result<v1::SendMessagesRequest, Status>> + Unpin, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let requests = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            request("")
        });
        (requests, read)
    }

    /// Lets a driver go on until it waits for something that nobody does.
    async fn run_until_blocked(driver: &mut Pin<Box<impl Future<Output = Result<(), Status>>>>) {
        for _ in 0..10 * MAX_IN_PROGRESS {
            assert!(poll!(driver.as_mut()).is_pending(), "it ended");
        }
    }

    #[tokio::test]
    async fn nothing_more_is_read_than_may_be_under_way() {
        let (requests, read) = endless();
        let (slots, _responses) = mpsc::channel(MAX_IN_PROGRESS);
        let never = |_| future::pending();
        let mut driver = Box::pin(drive(requests, never, &slots, future::pending()));
        run_until_blocked(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MAX_IN_PROGRESS);
    }

    #[tokio::test]
    async fn nothing_more_is_read_from_a_caller_who_does_not_read_its_responses() {
        let (requests, read) = endless();
        let (slots, mut responses) = mpsc::channel(MAX_IN_PROGRESS);
        let mut driver = Box::pin(drive(requests, echo, &slots, future::pending()));
        run_until_blocked(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MAX_IN_PROGRESS);
        for _ in 0..3 {
            responses.recv().await.expect("an answer");
        }
        run_until_blocked(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MAX_IN_PROGRESS + 3);
    }

    /// The tags of all answers, and the code and reason of the end.
    async fn collect(mut responses: ResponseStream) -> (Vec<String>, Option<(Code, String)>) {
        let mut tags = Vec::new();
        loop {
            match responses.next().await {
                Some(Ok(response)) => tags.push(response.tag),
                Some(Err(end)) => {
                    let reason = end.get_error_details().error_info().map(|info| info.reason.clone());
                    return (tags, Some((end.code(), reason.unwrap_or_default())));
                }
                None => return (tags, None),
            }
        }
    }

    #[tokio::test]
    async fn a_caller_who_closes_its_side_gets_every_answer_in_the_order_in_which_they_come() {
        let requests = stream::iter(["late", "soon"].map(request));
        let (first, waits) = oneshot::channel::<()>();
        let (first, waits) = (std::sync::Mutex::new(Some(first)), Arc::new(tokio::sync::Mutex::new(waits)));
        let responses = ResponseStream::new(requests, CancellationToken::new(), move |request| {
            let waits = Arc::clone(&waits);
            // The second lets the first go.
            let first = first.lock().expect("unpoisoned").take_if(|_| request.tag == "soon");
            async move {
                if request.tag == "late" {
                    let _ = (&mut *waits.lock().await).await;
                }
                drop(first);
                echo(request).await
            }
        });
        assert_eq!(collect(responses).await, (vec!["soon".to_owned(), "late".to_owned()], None));
    }

    #[tokio::test]
    async fn a_server_that_stops_reads_no_more_and_responses_what_is_under_way() {
        let stopping = CancellationToken::new();
        let requests = stream::iter(["a"].map(request)).chain(stream::pending());
        let stop = stopping.clone();
        let responses = ResponseStream::new(requests, stopping.clone(), move |request| {
            let stop = stop.clone();
            async move {
                stop.cancel();
                tokio::task::yield_now().await;
                echo(request).await
            }
        });
        let end = Some((Code::Unavailable, "SERVER_STOPPING".to_owned()));
        assert_eq!(collect(responses).await, (vec!["a".to_owned()], end));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_answered_as_far_as_it_came() {
        for (error, end) in [
            (Status::aborted("broken"), (Code::Aborted, "REQUEST_TRUNCATED".to_owned())),
            (Status::out_of_range("too long"), (Code::OutOfRange, String::new())),
        ] {
            let requests = stream::iter([request("a"), Err(error), request("b")]);
            let responses = ResponseStream::new(requests, CancellationToken::new(), echo);
            assert_eq!(collect(responses).await, (vec!["a".to_owned()], Some(end)));
        }
    }

    #[tokio::test]
    async fn whoever_drops_the_responses_ends_the_waits() {
        let (waiting, ended) = oneshot::channel::<()>();
        let waiting = std::sync::Mutex::new(Some(waiting));
        let (begun, begins) = oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let requests = stream::iter([request("a")]).chain(stream::pending());
        let responses = ResponseStream::new(requests, CancellationToken::new(), move |_| {
            let waiting = waiting.lock().expect("unpoisoned").take();
            let begun = begun.lock().expect("unpoisoned").take().expect("one request");
            async move {
                let _waiting = waiting;
                begun.send(()).expect("waited for");
                future::pending().await
            }
        });
        begins.await.expect("it begins");
        drop(responses);
        ended.await.expect_err("nobody waits any more");
    }
}

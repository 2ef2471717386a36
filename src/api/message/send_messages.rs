//! `MessageService.SendMessages`: many messages over one stream.
//!
//! One task drives each stream: it reads requests, polls the sends, and queues responses as they complete. The task
//! polls sends even if the client reads no responses, so no send keeps a shared resource while it waits for the
//! client. A client that does not read delays only itself.
//!
//! **Invariants.** The task reads a request only after it has reserved a slot for the response. So at most
//! [`MAX_IN_PROGRESS`] requests are in progress or have an unread response, and no response waits for a slot. The task
//! ends with its stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::parse, response::convert};
use crate::pb::v1;
use crate::pb::v1::send_messages_response::Result as SendResult;

/// The maximum number of requests of one stream that are read and have no response yet.
const MAX_IN_PROGRESS: usize = 256;

/// The maximum length of a tag, in Unicode code points.
const MAX_TAG_CHARACTERS: usize = 128;

/// The response stream of `SendMessages`.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated trait names it")]
pub struct ResponseStream {
    responses: mpsc::Receiver<v1::SendMessagesResponse>,
    /// The driving task. It is aborted when this is dropped.
    driver: JoinSet<Result<(), Status>>,
}

/// `MessageService.SendMessages`.
pub(in crate::api) async fn send_messages(
    api: &Api,
    call: Call<Streaming<v1::SendMessagesRequest>>,
) -> Result<ResponseStream, Status> {
    let Call { deadline, message: requests, .. } = call;
    let api = api.clone();
    let stopping = api.stopping.clone();
    Ok(ResponseStream::new(requests, stopping, move |request| respond(api.clone(), request, deadline)))
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
            // The task has closed the channel: all requests have a response. Its result is the end of the stream.
            Poll::Ready(None) => this.driver.poll_join_next(cx).map(|ended| match ended? {
                Ok(Ok(())) => None,
                Ok(Err(status)) => Some(Err(status)),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }),
        }
    }
}

/// Reads requests, sends each response to its slot, and returns how the stream ends.
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
    // The slot for the response to the next request.
    let mut slot = None;
    // How the stream ends. Set as soon as no further request is read.
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
                    let slot = slot.take().expect("the guard has checked it");
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

/// Returns the status for a failed request stream.
///
/// tonic itself rejects only messages that are too long. Its status is returned unchanged, as by every other RPC.
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
    parse::check_length("tag", &tag, MAX_TAG_CHARACTERS, &mut violations);
    if let Some((end, _)) = tag.char_indices().nth(MAX_TAG_CHARACTERS) {
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

    /// Responds with the tag alone.
    async fn echo(request: v1::SendMessagesRequest) -> v1::SendMessagesResponse {
        v1::SendMessagesResponse { tag: request.tag, result: None }
    }

    /// An endless stream of requests, and the number of those that were read.
    fn endless() -> (impl Stream<Item = Result<v1::SendMessagesRequest, Status>> + Unpin, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let requests = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            request("")
        });
        (requests, read)
    }

    /// Polls a driver until it is blocked.
    async fn run_until_blocked(driver: &mut Pin<Box<impl Future<Output = Result<(), Status>>>>) {
        for _ in 0..10 * MAX_IN_PROGRESS {
            assert!(poll!(driver.as_mut()).is_pending(), "the driver ended");
        }
    }

    #[tokio::test]
    async fn requests_beyond_the_limit_are_not_read() {
        let (requests, read) = endless();
        let (slots, _responses) = mpsc::channel(MAX_IN_PROGRESS);
        let never = |_| future::pending();
        let mut driver = Box::pin(drive(requests, never, &slots, future::pending()));
        run_until_blocked(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MAX_IN_PROGRESS);
    }

    #[tokio::test]
    async fn unread_responses_stop_the_reading_of_requests() {
        let (requests, read) = endless();
        let (slots, mut responses) = mpsc::channel(MAX_IN_PROGRESS);
        let mut driver = Box::pin(drive(requests, echo, &slots, future::pending()));
        run_until_blocked(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MAX_IN_PROGRESS);
        for _ in 0..3 {
            responses.recv().await.expect("a response");
        }
        run_until_blocked(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MAX_IN_PROGRESS + 3);
    }

    /// The tags of all responses, and the code and reason of the end.
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
    async fn closed_request_stream_gets_all_responses_as_they_complete() {
        let requests = stream::iter(["late", "soon"].map(request));
        let (first, waits) = oneshot::channel::<()>();
        let (first, waits) = (std::sync::Mutex::new(Some(first)), Arc::new(tokio::sync::Mutex::new(waits)));
        let responses = ResponseStream::new(requests, CancellationToken::new(), move |request| {
            let waits = Arc::clone(&waits);
            // The second request unblocks the first.
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
    async fn stopping_server_completes_requests_in_progress() {
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
    async fn truncated_stream_gets_responses_to_the_requests_read() {
        for (error, end) in [
            (Status::aborted("truncated"), (Code::Aborted, "REQUEST_TRUNCATED".to_owned())),
            (Status::out_of_range("too long"), (Code::OutOfRange, String::new())),
        ] {
            let requests = stream::iter([request("a"), Err(error), request("b")]);
            let responses = ResponseStream::new(requests, CancellationToken::new(), echo);
            assert_eq!(collect(responses).await, (vec!["a".to_owned()], Some(end)));
        }
    }

    #[tokio::test]
    async fn dropped_response_stream_cancels_the_sends() {
        let (waiting, ended) = oneshot::channel::<()>();
        let waiting = std::sync::Mutex::new(Some(waiting));
        let (start, started) = oneshot::channel();
        let start = std::sync::Mutex::new(Some(start));
        let requests = stream::iter([request("a")]).chain(stream::pending());
        let responses = ResponseStream::new(requests, CancellationToken::new(), move |_| {
            let waiting = waiting.lock().expect("unpoisoned").take();
            let start = start.lock().expect("unpoisoned").take().expect("one request");
            async move {
                let _waiting = waiting;
                start.send(()).expect("the test waits");
                future::pending().await
            }
        });
        started.await.expect("the send starts");
        drop(responses);
        ended.await.expect_err("the send was dropped");
    }
}

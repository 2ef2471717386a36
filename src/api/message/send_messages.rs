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
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::parse, response::convert};
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
pub(in crate::api) fn send_messages<R>(api: &Api, requests: R, deadline: Option<Instant>) -> Answers
where
    R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Send + Unpin + 'static,
{
    let api = api.clone();
    let stopping = api.stopping.clone();
    Answers::new(requests, stopping, move |request| answer(api.clone(), request, deadline))
}

impl Answers {
    fn new<R, F>(
        requests: R,
        stopping: CancellationToken,
        answer: impl Fn(v1::SendMessagesRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        R: Stream<Item = Result<v1::SendMessagesRequest, Status>> + Send + Unpin + 'static,
        F: Future<Output = v1::SendMessagesResponse> + Send + 'static,
    {
        let (places, answers) = mpsc::channel(MOST_UNDER_WAY);
        let mut driver = JoinSet::new();
        driver.spawn(async move { drive(requests, answer, &places, stopping.cancelled()).await });
        Self { answers, driver }
    }
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
    api: Api,
    request: v1::SendMessagesRequest,
    deadline: Option<Instant>,
) -> v1::SendMessagesResponse {
    let v1::SendMessagesRequest { mut tag, request } = request;
    let mut violations = Violations::default();
    parse::at_most("tag", &tag, TAG_CHARACTERS, &mut violations);
    if let Some((end, _)) = tag.char_indices().nth(TAG_CHARACTERS) {
        tag.truncate(end);
    }
    let result = match send(&api, request, deadline, violations).await {
        Ok(response) => Outcome::Response(response),
        Err(error) => Outcome::Failure(error),
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
    async fn settle(driver: &mut Pin<Box<impl Future<Output = Result<(), Status>>>>) {
        for _ in 0..10 * MOST_UNDER_WAY {
            assert!(poll!(driver.as_mut()).is_pending(), "it ended");
        }
    }

    #[tokio::test]
    async fn nothing_more_is_read_than_may_be_under_way() {
        let (requests, read) = endless();
        let (places, _answers) = mpsc::channel(MOST_UNDER_WAY);
        let never = |_| future::pending();
        let mut driver = Box::pin(drive(requests, never, &places, future::pending()));
        settle(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MOST_UNDER_WAY);
    }

    #[tokio::test]
    async fn nothing_more_is_read_from_a_caller_who_does_not_read_its_answers() {
        let (requests, read) = endless();
        let (places, mut answers) = mpsc::channel(MOST_UNDER_WAY);
        let mut driver = Box::pin(drive(requests, echo, &places, future::pending()));
        settle(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MOST_UNDER_WAY);
        for _ in 0..3 {
            answers.recv().await.expect("an answer");
        }
        settle(&mut driver).await;
        assert_eq!(read.load(Ordering::Relaxed), MOST_UNDER_WAY + 3);
    }

    /// The tags of all answers, and the code and reason of the end.
    async fn all(mut answers: Answers) -> (Vec<String>, Option<(Code, String)>) {
        let mut tags = Vec::new();
        loop {
            match answers.next().await {
                Some(Ok(answer)) => tags.push(answer.tag),
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
        let answers = Answers::new(requests, CancellationToken::new(), move |request| {
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
        assert_eq!(all(answers).await, (vec!["soon".to_owned(), "late".to_owned()], None));
    }

    #[tokio::test]
    async fn a_server_that_stops_reads_no_more_and_answers_what_is_under_way() {
        let stopping = CancellationToken::new();
        let requests = stream::iter(["a"].map(request)).chain(stream::pending());
        let stop = stopping.clone();
        let answers = Answers::new(requests, stopping.clone(), move |request| {
            let stop = stop.clone();
            async move {
                stop.cancel();
                tokio::task::yield_now().await;
                echo(request).await
            }
        });
        let end = Some((Code::Unavailable, "SERVER_STOPPING".to_owned()));
        assert_eq!(all(answers).await, (vec!["a".to_owned()], end));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_answered_as_far_as_it_came() {
        for (broken, end) in [
            (Status::aborted("broken"), (Code::Aborted, "REQUEST_TRUNCATED".to_owned())),
            (Status::out_of_range("too long"), (Code::OutOfRange, String::new())),
        ] {
            let requests = stream::iter([request("a"), Err(broken), request("b")]);
            let answers = Answers::new(requests, CancellationToken::new(), echo);
            assert_eq!(all(answers).await, (vec!["a".to_owned()], Some(end)));
        }
    }

    #[tokio::test]
    async fn whoever_drops_the_answers_ends_the_waits() {
        let (waiting, ended) = oneshot::channel::<()>();
        let waiting = std::sync::Mutex::new(Some(waiting));
        let (begun, begins) = oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let requests = stream::iter([request("a")]).chain(stream::pending());
        let answers = Answers::new(requests, CancellationToken::new(), move |_| {
            let waiting = waiting.lock().expect("unpoisoned").take();
            let begun = begun.lock().expect("unpoisoned").take().expect("one request");
            async move {
                let _waiting = waiting;
                begun.send(()).expect("waited for");
                future::pending().await
            }
        });
        begins.await.expect("it begins");
        drop(answers);
        ended.await.expect_err("nobody waits any more");
    }
}

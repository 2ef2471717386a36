//! A call as every handler gets it.

use tokio::time::Instant;
use tonic::Request;

use crate::api::request::deadline::deadline;

/// One call of an RPC. Only [`service`](super::service) makes them, so what a call carries is read in one place.
///
/// `T` is the request, or the stream of requests of a client stream.
pub(in crate::api) struct Call<T> {
    /// The program that calls.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "an anonymous caller may do everything, so no handler asks")
    )]
    pub(in crate::api) caller: Caller,
    /// Until when the call may wait. None if the client set no timeout.
    pub(in crate::api) deadline: Option<Instant>,
    pub(in crate::api) message: T,
}

/// Who calls.
///
/// An authenticated caller becomes a variant here, with its name and its rights. `Call::from` reads it from the
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Caller {
    /// The call carries no identity. Such a caller has all rights.
    Anonymous,
}

impl<T> From<Request<T>> for Call<T> {
    fn from(request: Request<T>) -> Self {
        Self {
            caller: Caller::Anonymous,
            deadline: deadline(request.metadata()),
            message: request.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn call_carries_the_deadline_and_the_message() {
        let mut request = Request::new("text");
        request.metadata_mut().insert("grpc-timeout", "10S".parse().expect("ASCII"));
        let Call { caller, deadline, message } = Call::from(request);
        assert_eq!((caller, message), (Caller::Anonymous, "text"));
        assert_eq!(deadline, Some(Instant::now() + Duration::from_millis(9_900)));
    }

    #[test]
    fn call_without_timeout_has_no_deadline() {
        assert_eq!(Call::from(Request::new(())).deadline, None);
    }
}

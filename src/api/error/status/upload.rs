//! Request streams that end early, and uploads.

use tonic::{Code, Status};

use super::{OUTAGE_DELAY, Reason};
use crate::api::error::error_response::ErrorResponse;

/// A request that the caller cancelled, or whose connection broke, before its end.
pub(in crate::api) fn request_truncated() -> Status {
    let message = "the request broke off before its end: nothing was done";
    ErrorResponse::new(Code::Aborted, Reason::RequestTruncated, message).into()
}

/// The same of a stream of requests, of which some may have been done.
pub(in crate::api) fn stream_truncated() -> Status {
    let message = "the stream broke off before its end: what was not answered may have been done or not";
    ErrorResponse::new(Code::Aborted, Reason::RequestTruncated, message).into()
}

/// An upload whose next bytes do not come.
pub(in crate::api) fn upload_stalled() -> Status {
    let message = "the file took too long to come: nothing was sent; send it again from its beginning";
    ErrorResponse::new(Code::Aborted, Reason::UploadStalled, message).into()
}

/// More uploads at once than there may be.
pub(in crate::api) fn uploads_exhausted() -> Status {
    let message = "too many files are being uploaded now: nothing was sent; wait and send it again";
    ErrorResponse::new(Code::ResourceExhausted, Reason::UploadsExhausted, message)
        .retry_after(OUTAGE_DELAY)
        .into()
}

/// A file that cannot be kept until all of it is there.
pub(in crate::api) fn spool_unavailable(error: &std::io::Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "an upload cannot be kept on disk");
    let message = "the file cannot be kept until all of it is there: nothing was sent; send it again later";
    ErrorResponse::new(Code::Unavailable, Reason::SpoolUnavailable, message).retry_after(OUTAGE_DELAY).into()
}

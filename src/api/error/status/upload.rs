//! Request streams that end early, and uploads.

use std::time::Duration;

use tonic::{Code, Status};

use super::OUTAGE_DELAY;
use crate::api::error::error_response::ErrorResponse;
use crate::dispatch::MAX_UPLOADS;
use crate::pb::v1::Reason;

/// The client cancelled the request, or its connection broke, before the request was complete.
pub(in crate::api) fn request_truncated() -> Status {
    let message = "the request ended before the client completed it; nothing was done; send it again";
    ErrorResponse::new(Code::Aborted, Reason::RequestTruncated, message).into()
}

/// As [`request_truncated`], for a stream of requests. Some of them may have been executed.
pub(in crate::api) fn stream_truncated() -> Status {
    let message = "the stream ended before the client closed it; messages without a response may have been \
        sent; retry them with the same `request_id`";
    ErrorResponse::new(Code::Aborted, Reason::RequestTruncated, message).into()
}

/// The next bytes of an upload did not arrive in time.
pub(in crate::api) fn upload_stalled(message_timeout: Duration, file_timeout: Duration) -> Status {
    let message = format!(
        "the file arrived too slowly: no message for {}, or no end within {}; nothing was sent; send it \
            again from its beginning",
        humantime::format_duration(message_timeout),
        humantime::format_duration(file_timeout),
    );
    ErrorResponse::new(Code::Aborted, Reason::UploadStalled, message).into()
}

/// The server is receiving the maximum number of files.
pub(in crate::api) fn uploads_exhausted() -> Status {
    let message = format!(
        "the server is already receiving {MAX_UPLOADS} files, the maximum; nothing was sent; retry after \
            `retry_delay`"
    );
    ErrorResponse::new(Code::ResourceExhausted, Reason::UploadsExhausted, message)
        .retry_after(OUTAGE_DELAY)
        .into()
}

/// The server cannot store a file until it is complete.
pub(in crate::api) fn spool_unavailable(error: &std::io::Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "upload spool write failed");
    let message = "the server cannot write the file to its temporary directory; nothing was sent; retry \
        after `retry_delay`";
    ErrorResponse::new(Code::Unavailable, Reason::SpoolUnavailable, message).retry_after(OUTAGE_DELAY).into()
}

//! The state of one connection that the exchange, the reply's body and the connection share.

use std::sync::atomic::{AtomicBool, Ordering};

/// Flags of one connection. The exchange and the reply's body set them; the connection below HTTP acts on them.
#[derive(Debug, Default)]
pub(super) struct ConnectionFlags {
    /// A request is being read or answered. While this is false, the next bytes start a new request.
    busy: AtomicBool,
    /// The last byte before a planned end of the connection has been passed to the writer.
    last_reply_written: AtomicBool,
    /// The connection reports the end of the stream to hyper.
    ended: AtomicBool,
}

impl ConnectionFlags {
    pub(super) fn begin_request(&self) {
        self.busy.store(true, Ordering::Release);
    }

    /// Records that the request was answered: the next bytes start a new one.
    pub(super) fn await_request(&self) {
        self.busy.store(false, Ordering::Release);
    }

    pub(super) fn awaits_request(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
    }

    /// Ends the connection as soon as everything written so far is flushed.
    pub(super) fn end_after_flush(&self) {
        self.last_reply_written.store(true, Ordering::Release);
    }

    /// Ends the connection if its last reply was written. Returns true for the call that ended it.
    pub(super) fn end_if_last_reply_written(&self) -> bool {
        self.last_reply_written.load(Ordering::Acquire) && !self.ended.swap(true, Ordering::AcqRel)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

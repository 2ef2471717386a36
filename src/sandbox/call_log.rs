//! The log of every call that was read.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::operation::Operation;

/// The maximum number of stored calls. Older ones are deleted, but still counted.
const MAX_CALLS: usize = 10_000;
/// The maximum size of all stored bodies.
const MAX_BODY_BYTES: usize = 64 << 20;

/// A call as it arrived at a simulated provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The sequence number, from 1, over all calls to this provider.
    pub sequence: u64,
    /// The operation of the route. `None` if the route is unknown.
    pub operation: Option<Operation>,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header names in lower case and their values, without credentials.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The status that the provider decided on, even if a fault then suppressed the reply. `None` before that.
    pub status: Option<u16>,
}

impl Call {
    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The content type.
    pub fn content_type(&self) -> Option<&str> {
        self.header("content-type")
    }

    /// The body as JSON, if it is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// The newest calls of one provider, and the number of calls of each operation.
#[derive(Debug, Default)]
pub(super) struct CallLog {
    sequence: u64,
    calls: VecDeque<Call>,
    body_bytes: usize,
    arrivals: HashMap<Option<Operation>, usize>,
}

impl CallLog {
    /// Stores a call and returns its sequence number.
    pub(super) fn record(&mut self, mut call: Call) -> u64 {
        self.sequence += 1;
        call.sequence = self.sequence;
        *self.arrivals.entry(call.operation).or_default() += 1;
        self.body_bytes += call.body.len();
        self.calls.push_back(call);
        while self.calls.len() > MAX_CALLS || (self.body_bytes > MAX_BODY_BYTES && self.calls.len() > 1) {
            let oldest = self.calls.pop_front().expect("the log is not empty");
            self.body_bytes -= oldest.body.len();
        }
        self.sequence
    }

    /// Sets the status of the call with that sequence number, if the call is still stored.
    pub(super) fn set_status(&mut self, sequence: u64, status: u16) {
        let at = self.calls.partition_point(|call| call.sequence < sequence);
        if let Some(call) = self.calls.get_mut(at).filter(|call| call.sequence == sequence) {
            call.status = Some(status);
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    pub(super) fn arrivals(&self, operation: Option<Operation>) -> usize {
        self.arrivals.get(&operation).copied().unwrap_or(0)
    }

    /// Deletes calls and counts. Sequence numbers continue.
    pub(super) fn clear(&mut self) {
        self.calls.clear();
        self.body_bytes = 0;
        self.arrivals.clear();
    }
}

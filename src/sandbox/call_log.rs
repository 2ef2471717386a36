//! The record of every call that was read.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::operation::Operation;

/// How many calls are kept; older ones are forgotten, though still counted.
const MAX_CALLS: usize = 10_000;
/// How many bytes of bodies are kept.
const MAX_BODY_BYTES: usize = 64 << 20;

/// A call as it arrived at an imitated provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Counts from 1 over all calls to this provider.
    pub sequence: u64,
    /// What the route stands for; `None` for a call that nobody expected.
    pub operation: Option<Operation>,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header names in lower case and their values, less the credentials.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The status that the provider decided on, whether or not a fault then kept the answer back. `None` before that.
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

/// The newest calls of one provider, and how many there were of each operation.
#[derive(Debug, Default)]
pub(super) struct CallLog {
    sequence: u64,
    calls: VecDeque<Call>,
    body_bytes: usize,
    arrivals: HashMap<Option<Operation>, usize>,
}

impl CallLog {
    /// Keeps a call, and gives its sequence number.
    pub(super) fn record(&mut self, mut call: Call) -> u64 {
        self.sequence += 1;
        call.sequence = self.sequence;
        *self.arrivals.entry(call.operation).or_default() += 1;
        self.body_bytes += call.body.len();
        self.calls.push_back(call);
        while self.calls.len() > MAX_CALLS || (self.body_bytes > MAX_BODY_BYTES && self.calls.len() > 1) {
            let oldest = self.calls.pop_front().expect("there is more than one call");
            self.body_bytes -= oldest.body.len();
        }
        self.sequence
    }

    /// Notes what the call of that number is answered with, if it is still kept.
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

    /// Forgets calls and counts; sequence numbers go on.
    pub(super) fn clear(&mut self) {
        self.calls.clear();
        self.body_bytes = 0;
        self.arrivals.clear();
    }
}

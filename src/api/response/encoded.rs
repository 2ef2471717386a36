//! Responses with events that are already encoded.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{DecodeError, Message};

use crate::pb::v1::{ListEventsResponse, SubscribeResponse};

/// The field number of `SubscribeResponse.event`.
const EVENT: u32 = 2;
/// The field number of `ListEventsResponse.events`.
const EVENTS: u32 = 1;
/// The field number of `Event.raw_body`.
const RAW_BODY: u32 = 11;

/// An item on the stream of `Subscribe`. Its encoding is that of a `SubscribeResponse`.
///
/// An event is encoded when it is appended to the journal. To send it, the server writes a field key, a length and a
/// copy of these bytes. If the client requested `raw_body`, the webhook's body follows as one more field of the event.
#[derive(Clone)]
pub enum Encoded {
    /// A response other than an event, encoded.
    Response(Bytes),
    /// An event.
    Event {
        /// The encoded `Event`, without `raw_body`.
        event: Bytes,
        /// The `raw_body`, if the client requested it.
        raw: Option<Bytes>,
    },
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Response(_) => "Response",
            Self::Event { .. } => "Event",
        })
    }
}

impl From<SubscribeResponse> for Encoded {
    fn from(response: SubscribeResponse) -> Self {
        Self::Response(response.encode_to_vec().into())
    }
}

/// The response of `ListEvents`. Its encoding is that of a `ListEventsResponse`.
#[derive(Clone)]
pub struct EncodedList {
    /// The encoded `Event`s without `raw_body`, each with its `raw_body` if the client requested it.
    events: Vec<(Bytes, Option<Bytes>)>,
    /// The rest of the response, encoded.
    rest: Bytes,
}

impl fmt::Debug for EncodedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedList({})", self.events.len())
    }
}

impl EncodedList {
    /// Adds encoded events, each with its requested `raw_body`, to a response that has none.
    pub(in crate::api) fn new(events: Vec<(Bytes, Option<Bytes>)>, rest: &ListEventsResponse) -> Self {
        Self { events, rest: rest.encode_to_vec().into() }
    }
}

fn bytes_field_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

fn put_bytes_field(tag: u32, bytes: &Bytes, buf: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(bytes.len() as u64, buf);
    buf.put_slice(bytes);
}

/// The length of the `Event` including `raw_body`.
fn event_len(event: &Bytes, raw: Option<&Bytes>) -> usize {
    event.len() + raw.map_or(0, |raw| bytes_field_len(RAW_BODY, raw.len()))
}

fn event_field_len(tag: u32, event: &Bytes, raw: Option<&Bytes>) -> usize {
    bytes_field_len(tag, event_len(event, raw))
}

fn put_event(tag: u32, event: &Bytes, raw: Option<&Bytes>, buf: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(event_len(event, raw) as u64, buf);
    buf.put_slice(event);
    if let Some(raw) = raw {
        put_bytes_field(RAW_BODY, raw, buf);
    }
}

/// The decoder of a message that the server only encodes.
macro_rules! never_decoded {
    () => {
        fn merge_field(
            &mut self,
            _: u32,
            _: WireType,
            _: &mut impl Buf,
            _: DecodeContext,
        ) -> Result<(), DecodeError> {
            unreachable!("the server only encodes this message")
        }
    };
}

impl Message for Encoded {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        match self {
            Self::Response(response) => buf.put_slice(response),
            Self::Event { event, raw } => put_event(EVENT, event, raw.as_ref(), buf),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Response(response) => response.len(),
            Self::Event { event, raw } => event_field_len(EVENT, event, raw.as_ref()),
        }
    }

    never_decoded!();

    fn clear(&mut self) {
        *self = Self::Response(Bytes::new());
    }
}

impl Message for EncodedList {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for (event, raw) in &self.events {
            put_event(EVENTS, event, raw.as_ref(), buf);
        }
        buf.put_slice(&self.rest);
    }

    fn encoded_len(&self) -> usize {
        let events = self.events.iter().map(|(event, raw)| event_field_len(EVENTS, event, raw.as_ref()));
        events.sum::<usize>() + self.rest.len()
    }

    never_decoded!();

    fn clear(&mut self) {
        *self = Self { events: Vec::new(), rest: Bytes::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{Event, subscribe_response::Response};

    #[test]
    fn encoded_event_decodes_to_the_event_of_prost() {
        for raw in [None, Some(Bytes::from_static(b"")), Some(Bytes::from(vec![7; 300]))] {
            let event = Event { event_id: "evt_1".to_owned(), account: "a".repeat(200), ..Event::default() };
            let encoded = Encoded::Event { event: event.encode_to_vec().into(), raw: raw.clone() };
            let bytes = encoded.encode_to_vec();
            assert_eq!(bytes.len(), encoded.encoded_len());
            let expected = Event { raw_body: raw.unwrap_or_default(), ..event };
            let decoded = SubscribeResponse::decode(bytes.as_slice()).expect("well-formed");
            assert_eq!(decoded.response, Some(Response::Event(expected)));
        }
    }

    #[test]
    fn encoded_list_decodes_to_the_list_of_prost() {
        let rest = ListEventsResponse {
            events: Vec::new(),
            next_cursor: "next".to_owned(),
            previous_cursor: "previous".to_owned(),
            reached_newest: true,
            reached_oldest: false,
        };
        let events = [("evt_1", None), ("evt_2", Some(vec![7; 300])), ("evt_3", Some(Vec::new()))].map(
            |(id, raw): (&str, Option<Vec<u8>>)| {
                let event = Event { event_id: id.to_owned(), account: "a".repeat(200), ..Event::default() };
                let bytes = Bytes::from(event.encode_to_vec());
                let raw = raw.map(Bytes::from);
                ((bytes, raw.clone()), Event { raw_body: raw.unwrap_or_default(), ..event })
            },
        );
        for count in 0..=events.len() {
            let (encoded, events): (Vec<_>, Vec<_>) = events[..count].iter().cloned().unzip();
            let list = EncodedList::new(encoded, &rest);
            let bytes = list.encode_to_vec();
            assert_eq!(bytes.len(), list.encoded_len());
            let decoded = ListEventsResponse::decode(bytes.as_slice()).expect("well-formed");
            assert_eq!(decoded, ListEventsResponse { events, ..rest.clone() });
        }
    }
}

//! Idempotency of writes: `request_id`, `resend_after_attempt`, and a fingerprint of the request's content.
//!
//! **Invariant.** Two requests have the same fingerprint exactly if they call the same RPC with the same content.
//! Numbers compare in canonical form. The content excludes `request_id`, `resend_after_attempt` and `checks`, which a
//! retry may change. `SendMessage` and `SendMessages` count as one RPC, so a client can retry the requests of a broken
//! stream with single calls.

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::api::error::status;
use crate::api::request::parse;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::response::convert;
use crate::dispatch::Completed;
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{Address, Channel, PhoneNumber, RequestId};
use crate::pb::v1;

/// The idempotency key of a write, before the fingerprint of its content is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct IdempotencyKey {
    id: RequestId,
    resend_after: Option<u32>,
}

impl IdempotencyKey {
    pub(in crate::api) fn request(self, fingerprint: Fingerprint) -> Request {
        Request { id: self.id, fingerprint, resend_after: self.resend_after }
    }
}

/// Parses the idempotency key. None if the request has none. `path` is the prefix of the fields' paths.
pub(in crate::api) fn read(
    path: &str,
    request_id: &str,
    resend_after_attempt: u32,
    violations: &mut Violations,
) -> Option<IdempotencyKey> {
    if request_id.is_empty() && resend_after_attempt == 0 {
        return None;
    }
    let field = format!("{path}request_id");
    if request_id.is_empty() {
        let problem =
            "must be given with `resend_after_attempt`, which makes another attempt of this request";
        violations.add(field, ViolationReason::Required, problem);
        return None;
    }
    let id = parse::required(&field, request_id, violations);
    if resend_after_attempt == u32::MAX {
        // No attempt has this number, because no attempt could follow it.
        let problem = format!("must be less than {}", u32::MAX);
        violations.add(format!("{path}resend_after_attempt"), ViolationReason::OutOfRange, problem);
    }
    let id = id?;
    Some(IdempotencyKey { id, resend_after: Some(resend_after_attempt).filter(|&attempt| attempt != 0) })
}

/// The fingerprint of a message. Reduces `request` to the hashed content.
pub(in crate::api) fn of_message(
    request: &mut v1::SendMessageRequest,
    to: &Address,
    channel: Channel,
    sender: Option<&PhoneNumber>,
) -> Fingerprint {
    request.to = to.to_string();
    request.channel = convert::channel(channel).into();
    request.sender = sender.map(ToString::to_string);
    request.request_id.clear();
    request.resend_after_attempt = 0;
    request.checks = None;
    fingerprint("SendMessage", request, &[])
}

/// The fingerprint of a file for a customer.
pub(in crate::api) fn of_media(
    mut header: v1::MediaHeader,
    to: &Address,
    channel: Channel,
    digest: &[u8; 32],
) -> Fingerprint {
    header.to = to.to_string();
    header.channel = convert::channel(channel).into();
    header.request_id.clear();
    header.resend_after_attempt = 0;
    header.checks = None;
    fingerprint("SendMedia", &header, digest)
}

/// The fingerprint of a file for templates.
pub(in crate::api) fn of_template_media(
    mut header: v1::UploadTemplateMediaHeader,
    digest: &[u8; 32],
) -> Fingerprint {
    header.request_id.clear();
    header.resend_after_attempt = 0;
    fingerprint("UploadTemplateMedia", &header, digest)
}

/// The fingerprint of a new contact. Fields that a creation ignores do not count.
pub(in crate::api) fn of_contact(request: &v1::CreateContactRequest) -> Fingerprint {
    let mut request =
        v1::CreateContactRequest { request_id: String::new(), resend_after_attempt: 0, ..request.clone() };
    if let Some(contact) = &mut request.contact {
        contact.contact_id.clear();
        contact.raw_json.clear();
    }
    fingerprint("CreateContact", &request, &[])
}

/// The fingerprint of a new webhook registration. Fields that a creation ignores do not count.
pub(in crate::api) fn of_webhook_registration(request: &v1::CreateWebhookRegistrationRequest) -> Fingerprint {
    let mut request = v1::CreateWebhookRegistrationRequest {
        request_id: String::new(),
        resend_after_attempt: 0,
        ..request.clone()
    };
    if let Some(registration) = &mut request.webhook_registration {
        registration.webhook_registration_id.clear();
        registration.provider_topic.clear();
        registration.raw_json.clear();
    }
    fingerprint("CreateWebhookRegistration", &request, &[])
}

/// None of the hashed messages has a map field, so equal messages have equal bytes.
fn fingerprint(rpc: &str, request: &impl Message, file: &[u8]) -> Fingerprint {
    let request = request.encode_to_vec();
    let length = u64::try_from(request.len()).expect("lengths fit into 64 bits");
    let mut hash = Sha256::new();
    hash.update(rpc);
    hash.update([0]);
    hash.update(length.to_be_bytes());
    hash.update(request);
    hash.update(file);
    Fingerprint(hash.finalize().into())
}

/// Decodes the stored response of a write. This version or an earlier one may have stored it.
pub(in crate::api) fn reply<M: Message + Default>(completed: &Completed<Bytes>) -> Result<M, Status> {
    M::decode(completed.value.clone()).map_err(|_| status::store_unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_key(id: &str, resend_after: u32) -> (Option<IdempotencyKey>, String) {
        let mut violations = Violations::default();
        let key = read("header.", id, resend_after, &mut violations);
        (key, violations.summary())
    }

    #[test]
    fn invalid_request_id_fails_and_resend_requires_one() {
        assert_eq!(read_key("", 0), (None, String::new()));
        let (key, summary) = read_key("order 77", 0);
        assert_eq!((key.expect("read").resend_after, summary.as_str()), (None, ""));
        assert_eq!(read_key("order 77", 3).0.expect("read").resend_after, Some(3));
        let (none, summary) = read_key("", 1);
        assert!(none.is_none() && summary.starts_with("header.request_id: must be given with"), "{summary}");
        let (_, summary) = read_key("order 77", u32::MAX);
        assert!(
            summary.starts_with("header.resend_after_attempt: must be less than 4294967295"),
            "{summary}"
        );
        let (none, summary) = read_key("\u{e9}", 0);
        assert!(none.is_none() && summary.starts_with("header.request_id: must be 1 to 128"), "{summary}");
    }

    fn text(to: &str, body: &str) -> v1::SendMessageRequest {
        let text = v1::Text { body: body.to_owned() };
        v1::SendMessageRequest {
            account: "acme".to_owned(),
            to: to.to_owned(),
            content: Some(v1::send_message_request::Content::Text(text)),
            ..v1::SendMessageRequest::default()
        }
    }

    fn fingerprint_of(mut request: v1::SendMessageRequest) -> Fingerprint {
        let to = request.to.parse().expect("an address");
        let sender = request.sender.as_deref().map(|sender| sender.parse().expect("a number"));
        let channel = parse::channel("", request.channel, &mut Violations::default()).expect("a channel");
        of_message(&mut request, &to, channel, sender.as_ref())
    }

    #[test]
    fn fingerprints_are_equal_exactly_for_equal_content() {
        let first = fingerprint_of(text("+15550100001", "hi"));
        for same in [
            text("1 555-010-0001", "hi"),
            v1::SendMessageRequest { channel: v1::Channel::Whatsapp.into(), ..text("15550100001", "hi") },
            v1::SendMessageRequest {
                request_id: "a".to_owned(),
                resend_after_attempt: 1,
                checks: Some(v1::SendChecks {
                    session_window: v1::CheckMode::Enforce.into(),
                    template: v1::CheckMode::Skip.into(),
                }),
                ..text("+15550100001", "hi")
            },
        ] {
            assert_eq!(fingerprint_of(same), first);
        }
        for other in [
            text("+15550100002", "hi"),
            text("+15550100001", "hi!"),
            v1::SendMessageRequest { channel: v1::Channel::Sms.into(), ..text("+15550100001", "hi") },
            v1::SendMessageRequest { sender: Some("+15550100002".to_owned()), ..text("+15550100001", "hi") },
            v1::SendMessageRequest { callback_data: "1".to_owned(), ..text("+15550100001", "hi") },
            v1::SendMessageRequest { campaign_name: "spring".to_owned(), ..text("+15550100001", "hi") },
            v1::SendMessageRequest { recipient_name: "spring".to_owned(), ..text("+15550100001", "hi") },
        ] {
            assert_ne!(fingerprint_of(other), first);
        }
    }

    #[test]
    fn fingerprint_covers_the_bytes_of_the_file() {
        let header = v1::UploadTemplateMediaHeader { account: "acme".to_owned(), ..Default::default() };
        let of = |digest| of_template_media(header.clone(), &digest);
        assert_eq!(of([1; 32]), of([1; 32]));
        assert_ne!(of([1; 32]), of([2; 32]));
    }
}

//! Explains which check a webhook fails. The checks, their order and their code are those of the webhook ingress.

use bytes::Bytes;

use crate::pb::v1::{VerifyWebhookSignatureResponse, WebhookSignatureCheck};
use crate::provider::Account;
use crate::provider::signature::{Rejection, Scheme, Unverified, check_form};

/// Runs the checks on a webhook, which is not stored.
pub(in crate::api) fn webhook(
    account: &Account,
    max_body_bytes: usize,
    body: Bytes,
    signature: Option<&str>,
) -> VerifyWebhookSignatureResponse {
    let Some(webhooks) = account.webhooks() else {
        return failed(WebhookSignatureCheck::AccountHasWebhooks, no_webhooks(account));
    };
    let scheme = webhooks.scheme();
    // A signature without the form of one is rejected before the body is read.
    let has_form = check_form(signature).is_ok();
    if has_form && body.len() > max_body_bytes {
        let problem = format!(
            "The body is larger than {max_body_bytes} bytes, the limit that `max_body_bytes` in [webhook] of the \
             configuration sets."
        );
        return failed(WebhookSignatureCheck::BodySize, problem);
    }
    match Unverified::new(body.clone(), signature).verify(scheme) {
        Ok(webhook) => VerifyWebhookSignatureResponse {
            valid: true,
            failed_check: WebhookSignatureCheck::Unspecified.into(),
            problem: String::new(),
            event_types: webhooks
                .parse(account.id(), &webhook)
                .iter()
                .map(|incoming| incoming.event.event_type().as_str().to_owned())
                .collect(),
        },
        Err(Rejection::Missing) => {
            let problem = format!(
                "There is no signature. Check that the header `{}` arrives: every proxy in front of Switchboard must \
                 forward it.",
                scheme.header()
            );
            failed(WebhookSignatureCheck::SignaturePresent, problem)
        }
        Err(Rejection::Malformed) => {
            failed(WebhookSignatureCheck::SignatureFormat, malformed(signature.unwrap_or_default()))
        }
        Err(Rejection::Mismatch) => {
            failed(WebhookSignatureCheck::SignatureMatches, wrong(scheme, &body, signature))
        }
    }
}

fn failed(check: WebhookSignatureCheck, problem: String) -> VerifyWebhookSignatureResponse {
    VerifyWebhookSignatureResponse {
        valid: false,
        failed_check: check.into(),
        problem,
        event_types: Vec::new(),
    }
}

fn no_webhooks(account: &Account) -> String {
    if account.capabilities().rpcs.contains(&"WebhookRegistrationService.CreateWebhookRegistration") {
        "The account has no webhook secret: set `webhook_secrets` of this account in the configuration."
            .to_owned()
    } else {
        format!("The account has no webhooks: {} is not known to send webhooks.", account.provider())
    }
}

/// Describes a malformed signature without quoting it.
fn malformed(signature: &str) -> String {
    let signature = signature.trim();
    let bare = signature.strip_prefix("sha256=").unwrap_or(signature);
    let seen = if bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit()) {
        "it is hexadecimal"
    } else if bare.len() < signature.len() {
        "it begins with `sha256=`"
    } else if signature.contains(['-', '_']) {
        "it is URL-safe Base64, with `-` and `_` for `+` and `/`"
    } else if signature.len() == 43 {
        "its padding `=` is missing"
    } else {
        "it is truncated, quoted, or in another format"
    };
    format!(
        "The signature is not the padded standard Base64 of 32 bytes, 44 characters with `=` at the end: {seen}. The \
         expected value is the Base64 of the raw HMAC-SHA256, without a prefix."
    )
}

/// Lists the probable causes if a well-formed signature does not match.
fn wrong(scheme: &Scheme, body: &Bytes, signature: Option<&str>) -> String {
    let fits = |body: Bytes| Unverified::new(body, signature).verify(scheme).is_ok();
    let trimmed = body.slice_ref(body.trim_ascii());
    if trimmed.len() < body.len() && fits(trimmed) {
        return "The signature matches the body without the surrounding white space: a program on the way adds a line \
                end to the body."
            .to_owned();
    }
    if ["\n", "\r\n"].iter().any(|end| fits([body.as_ref(), end.as_bytes()].concat().into())) {
        return "The signature matches the body with a line end after it: a program on the way removes the \
            line end."
            .to_owned();
    }
    "No configured secret produces this signature for this body. Check that the body is byte for byte what was \
     received: parsed and rewritten JSON has other bytes, and so has a body with an added or removed line end. Then \
     check that `webhook_secrets` of this account has the secret that the provider signs with for this business, \
     without extra white space or a line end."
        .to_owned()
}

//! Parses requests into `domain`. Each violation is recorded with its field's path, and parsing continues.

mod location;
mod media;
pub(in crate::api) mod template;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::error::error_response::ErrorResponse;
use crate::api::error::status;
use crate::api::request::idempotency;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::dispatch::SendOptions;
use crate::domain::message::{CallbackData, CallbackDataMalformed, Content, Outgoing};
use crate::domain::{AccountId, Address, Channel, PhoneNumber};
use crate::pb::v1;
use crate::provider::{Account, Accounts, IssueKind, Parts};

/// Parses a required text.
pub(in crate::api) fn required<T: FromStr<Err: Display>>(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<T> {
    if text.is_empty() {
        violations.add(field, ViolationReason::Required, "must be given");
        return None;
    }
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            violations.add(field, ViolationReason::Malformed, error.to_string());
            None
        }
    }
}

/// Parses an optional duration that must be within a range.
pub(in crate::api) fn duration(
    field: &str,
    value: Option<prost_types::Duration>,
    range: RangeInclusive<Duration>,
    violations: &mut Violations,
) -> Option<Duration> {
    match Duration::try_from(value?) {
        Ok(duration) if range.contains(&duration) => Some(duration),
        _ => {
            let (from, to) = range.into_inner();
            let allowed = format!(
                "must be from {} to {}",
                humantime::format_duration(from),
                humantime::format_duration(to)
            );
            violations.add(field, ViolationReason::OutOfRange, allowed);
            None
        }
    }
}

/// Finds the account that a request names. A malformed id is a violation; an account that does not exist fails at
/// once.
pub(in crate::api) fn account<'a>(
    field: &str,
    id: &str,
    accounts: &'a Accounts,
    violations: &mut Violations,
) -> Result<Option<&'a Arc<Account>>, ErrorResponse> {
    let Some(id) = required::<AccountId>(field, id, violations) else { return Ok(None) };
    accounts.get(&id).map(Some).ok_or_else(|| status::account_not_found(field, &id))
}

/// A parsed send request.
#[derive(Debug)]
pub(in crate::api) struct ParsedSend {
    pub(in crate::api) account: Arc<Account>,
    pub(in crate::api) message: Outgoing,
    pub(in crate::api) options: SendOptions,
}

/// Parses a send request, and checks it against the account's capabilities. `violations` has earlier violations.
pub(in crate::api) fn send_message(
    mut request: v1::SendMessageRequest,
    accounts: &Accounts,
    deadline: Option<Instant>,
    mut violations: Violations,
) -> Result<ParsedSend, ErrorResponse> {
    let account = account("account", &request.account, accounts, &mut violations)?;
    let to = required::<Address>("to", &request.to, &mut violations);
    let channel = channel("channel", request.channel, &mut violations);
    let sender =
        request.sender.as_deref().map(|sender| required::<PhoneNumber>("sender", sender, &mut violations));
    let recipient_name = name("recipient_name", &request.recipient_name, &mut violations);
    let campaign_name = name("campaign_name", &request.campaign_name, &mut violations);
    let key = idempotency::read("", &request.request_id, request.resend_after_attempt, &mut violations);
    let checks = checks("checks", request.checks, &mut violations);
    let fingerprint = match (&key, &to, channel, &sender) {
        (Some(_), Some(to), Some(channel), None | Some(Some(_))) => {
            let sender = sender.as_ref().and_then(Option::as_ref);
            Some(idempotency::of_message(&mut request, to, channel, sender))
        }
        _ => None,
    };
    let content_field = request.content.as_ref().map(content_field);
    let callback_data = callback_data("callback_data", &request.callback_data, &mut violations);
    let content = content(request.content, &mut violations);

    if let Some(account) = account {
        let parts = Parts {
            to: to.as_ref(),
            channel,
            sender: sender.as_ref().and_then(Option::as_ref),
            recipient_name: &recipient_name,
            campaign_name: &campaign_name,
            content_field,
            content: content.as_ref(),
        };
        validate("", account, parts, &mut violations);
    }
    let (account, to, channel, content) = violations.all((account, to, channel, content))?;
    let sender = sender.flatten();
    let message = Outgoing { to, channel, sender, recipient_name, campaign_name, content, callback_data };
    let request = key.zip(fingerprint).map(|(key, fingerprint)| key.request(fingerprint));
    let options = SendOptions { request, deadline, ..checks };
    Ok(ParsedSend { account: Arc::clone(account), message, options })
}

/// Parses which checks run before a send. By default, only the template is checked.
pub(in crate::api) fn checks(
    field: &str,
    checks: Option<v1::SendChecks>,
    violations: &mut Violations,
) -> SendOptions {
    let v1::SendChecks { session_window, template } = checks.unwrap_or_default();
    let mut enforced = |name: &str, mode: i32, default: bool| match v1::CheckMode::try_from(mode) {
        Ok(v1::CheckMode::Unspecified) => default,
        Ok(v1::CheckMode::Enforce) => true,
        Ok(v1::CheckMode::Skip) => false,
        Err(_) => {
            let allowed = "must be CHECK_MODE_ENFORCE or CHECK_MODE_SKIP";
            violations.add(format!("{field}.{name}"), ViolationReason::UnknownValue, allowed);
            default
        }
    };
    SendOptions {
        check_session_window: enforced("session_window", session_window, false),
        skip_template_check: !enforced("template", template, true),
        ..SendOptions::default()
    }
}

/// Parses the JSON text that a message's events return. Empty means none.
pub(in crate::api) fn callback_data(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<CallbackData> {
    if text.is_empty() {
        return None;
    }
    let reason = |error| match error {
        CallbackDataMalformed::TooLong => ViolationReason::OutOfRange,
        CallbackDataMalformed::NotJson => ViolationReason::Malformed,
    };
    text.parse()
        .map_err(|error: CallbackDataMalformed| violations.add(field, reason(error), error.to_string()))
        .ok()
}

/// Checks that a text has at most `max` Unicode code points.
pub(in crate::api) fn check_length(field: &str, text: &str, max: usize, violations: &mut Violations) {
    // Counting is needed only if the text has more bytes than that.
    if text.len() > max && text.chars().count() > max {
        violations.add(field, ViolationReason::OutOfRange, format!("must be at most {max} characters"));
    }
}

/// Checks that a list has at most `max` items. Returns no items of a longer list.
pub(in crate::api) fn limit_items<'a, T>(
    field: &str,
    items: &'a [T],
    max: usize,
    violations: &mut Violations,
) -> &'a [T] {
    if items.len() > max {
        violations.add(field, ViolationReason::OutOfRange, format!("must have at most {max} items"));
        return &[];
    }
    items
}

/// The maximum length of a recipient's name and of a campaign's name, in characters.
const MAX_NAME_CHARACTERS: usize = 512;

/// Parses a name that is sent to the provider unchanged. Empty means none.
fn name(field: &str, name: &str, violations: &mut Violations) -> String {
    check_length(field, name, MAX_NAME_CHARACTERS, violations);
    name.to_owned()
}

/// The maximum length of a URL, in characters.
const MAX_URL_CHARACTERS: usize = 2_048;

/// Checks a URL that the provider fetches.
pub(in crate::api) fn public_url(field: &str, url: String, violations: &mut Violations) -> Option<String> {
    // The parser ignores white space and missing slashes, but the provider may not.
    let has_scheme = url.split_once("://").is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    });
    let has_blank = url.chars().any(|c| c.is_whitespace() || c.is_control());
    if url.is_empty() {
        violations.add(field, ViolationReason::Required, "must be given: a public http or https URL");
    } else if url.chars().count() > MAX_URL_CHARACTERS {
        violations.add(
            field,
            ViolationReason::OutOfRange,
            format!("must be at most {MAX_URL_CHARACTERS} characters"),
        );
    } else if !has_scheme || has_blank || !url::Url::parse(&url).is_ok_and(|url| url.has_host()) {
        violations.add(field, ViolationReason::Malformed, "must be a public http or https URL");
    } else {
        return Some(url);
    }
    None
}

/// Records everything that prevents the account from sending these parts. `path` is the prefix of the fields' paths.
pub(in crate::api) fn validate(path: &str, account: &Account, parts: Parts<'_>, violations: &mut Violations) {
    for issue in account.validate(parts) {
        let reason = match issue.kind {
            IssueKind::Unsupported => ViolationReason::Unsupported,
            IssueKind::OutOfRange => ViolationReason::OutOfRange,
            IssueKind::Missing => ViolationReason::Required,
        };
        violations.add(format!("{path}{}", issue.field), reason, issue.problem);
    }
}

/// Parses the network to send over. Unspecified means WhatsApp.
pub(in crate::api) fn channel(field: &str, channel: i32, violations: &mut Violations) -> Option<Channel> {
    match v1::Channel::try_from(channel) {
        Ok(v1::Channel::Unspecified | v1::Channel::Whatsapp) => Some(Channel::WhatsApp),
        Ok(v1::Channel::Sms) => Some(Channel::Sms),
        Err(_) => {
            violations.add(field, ViolationReason::UnknownValue, "must be CHANNEL_WHATSAPP or CHANNEL_SMS");
            None
        }
    }
}

const fn content_field(content: &v1::send_message_request::Content) -> &'static str {
    match content {
        v1::send_message_request::Content::Text(_) => "text",
        v1::send_message_request::Content::Template(_) => "template",
        v1::send_message_request::Content::Media(_) => "media",
        v1::send_message_request::Content::Location(_) => "location",
    }
}

fn content(
    content: Option<v1::send_message_request::Content>,
    violations: &mut Violations,
) -> Option<Content> {
    match content {
        Some(v1::send_message_request::Content::Text(v1::Text { body })) if body.trim().is_empty() => {
            violations.add(
                "text.body",
                ViolationReason::Required,
                "must be given, and not white space alone",
            );
            None
        }
        Some(v1::send_message_request::Content::Text(v1::Text { body })) => Some(Content::Text(body)),
        Some(v1::send_message_request::Content::Template(template)) => {
            Some(Content::Template(template::read(template, violations)))
        }
        Some(v1::send_message_request::Content::Media(link)) => media::link(link, violations),
        Some(v1::send_message_request::Content::Location(location)) => {
            Some(Content::Location(location::read("location", location, violations)))
        }
        None => {
            violations.add(
                "content",
                ViolationReason::Required,
                "must be given: `text`, `template`, `media` or `location`",
            );
            None
        }
    }
}

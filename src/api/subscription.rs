//! `SubscriptionService`: manages subscriptions and acknowledges events.

use std::collections::{BTreeMap, HashMap};

use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::position::{Position, cursor, position, since};
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{
    Api, request::filter, request::page_token, request::paging, request::parse, response::convert,
};
use crate::domain::{AccountId, Filter, Labels, SubscriptionId, TypePattern};
use crate::journal::{self, Journal, Progress, Start, SubscriptionError};
use crate::pb::v1;

const LIST: &str = "SubscriptionService.ListSubscriptions";

/// The number of subscriptions read at a time. It limits the memory of a list, because one subscription can have a
/// filter and labels of many kilobytes.
const READ_SIZE: u32 = 100;

/// The maximum number of labels, and the maximum length of a key or a value in characters.
const MAX_LABELS: usize = 64;
const MAX_LABEL_CHARACTERS: usize = 63;

/// The fields of a subscription that an update mask may name without effect: the id and the output only fields.
const IGNORED_IN_MASK: [&str; 9] = [
    "subscription_id",
    "cursor",
    "generation",
    "create_time",
    "update_time",
    "acknowledge_time",
    "lag_events",
    "lag_time",
    "expired",
];

/// `SubscriptionService.CreateSubscription`.
pub(in crate::api) async fn create(
    api: &Api,
    call: Call<v1::CreateSubscriptionRequest>,
) -> Result<v1::CreateSubscriptionResponse, Status> {
    let request = call.message;
    use v1::create_subscription_request::Start as RequestedStart;
    let mut violations = Violations::default();
    let id = id(&request.subscription_id, &mut violations);
    let v1::Subscription { filter, labels, .. } = request.subscription.unwrap_or_default();
    let filter = filter::read("subscription.filter", filter, api.dispatch.accounts(), &mut violations)?;
    let labels = read_labels(labels, &mut violations);
    let start = match request.start {
        None => Ok(Start::Latest),
        Some(RequestedStart::Position(value)) => Ok(match position(value, &mut violations) {
            None | Some(Position::Latest) => Start::Latest,
            Some(Position::Earliest) => Start::Earliest,
        }),
        Some(RequestedStart::AfterCursor(text)) => cursor("after_cursor", &text).map(Start::After),
        Some(RequestedStart::Since(moment)) => Ok(Start::Since(since(moment, &mut violations))),
    };
    let id = violations.all(id)?;
    let created = api.journal.create_subscription(id.clone(), filter, labels, start?).await;
    let subscription =
        to_proto(&api.journal, created.map_err(|error| status::subscription_error(&id, error))?);
    Ok(v1::CreateSubscriptionResponse { subscription: Some(subscription) })
}

/// `SubscriptionService.GetSubscription`.
pub(in crate::api) async fn get(
    api: &Api,
    call: Call<v1::GetSubscriptionRequest>,
) -> Result<v1::GetSubscriptionResponse, Status> {
    let request = call.message;
    let id = only_id(&request.subscription_id)?;
    let progress =
        api.journal.subscription(&id).await.map_err(|error| status::subscription_error(&id, error))?;
    Ok(v1::GetSubscriptionResponse { subscription: Some(to_proto(&api.journal, progress)) })
}

/// `SubscriptionService.ListSubscriptions`.
pub(in crate::api) async fn list(
    api: &Api,
    call: Call<v1::ListSubscriptionsRequest>,
) -> Result<v1::ListSubscriptionsResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let size = paging::page_size(request.page_size, &mut violations);
    violations.check()?;
    let after: Option<String> = page_token::decode(LIST, None, &request.page_token)?;
    let after = after.map(|id| id.parse::<SubscriptionId>()).transpose();
    let after = after.map_err(|_| status::page_token_malformed())?;

    let (subscriptions, more) = page(api, after, size).await?;
    let next_page_token = match subscriptions.last() {
        Some(last) if more => page_token::encode(LIST, None, &last.subscription_id),
        _ => String::new(),
    };
    Ok(v1::ListSubscriptionsResponse { subscriptions, next_page_token })
}

/// Reads the subscriptions of one page, and whether more come after them. A page has at most `size` subscriptions, and
/// its encoded size is at most [`MAX_PAGE_BYTES`](paging::MAX_PAGE_BYTES).
async fn page(
    api: &Api,
    mut after: Option<SubscriptionId>,
    size: usize,
) -> Result<(Vec<v1::Subscription>, bool), Status> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    loop {
        let read = api.journal.subscriptions(after.as_ref(), READ_SIZE).await?;
        let last_read = read.len() < READ_SIZE as usize;
        after = read.last().map(|progress| progress.subscription.id.clone());
        for progress in read {
            let subscription = to_proto(&api.journal, progress);
            bytes += paging::item_size(&subscription);
            if page.len() == size || (bytes > paging::MAX_PAGE_BYTES && !page.is_empty()) {
                return Ok((page, true));
            }
            page.push(subscription);
        }
        if last_read {
            return Ok((page, false));
        }
    }
}

/// `SubscriptionService.UpdateSubscription`.
pub(in crate::api) async fn update(
    api: &Api,
    call: Call<v1::UpdateSubscriptionRequest>,
) -> Result<v1::UpdateSubscriptionResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let v1::Subscription { subscription_id, filter, labels, .. } = request.subscription.unwrap_or_default();
    let id = parse::required("subscription.subscription_id", &subscription_id, &mut violations);
    let mask = match request.update_mask {
        Some(mask) => UpdateMask::read(&mask.paths, &mut violations),
        None => UpdateMask::populated(filter.is_some(), !labels.is_empty(), &mut violations),
    };
    // A field that is not in the mask has no effect, so it is not checked either.
    let filter = if mask.filter {
        let accounts = api.dispatch.accounts();
        let stored = stored_filter(api, id.as_ref()).await?;
        Some(filter::read_change("subscription.filter", filter, accounts, &stored, &mut violations)?)
    } else {
        None
    };
    let labels = mask.labels.then(|| read_labels(labels, &mut violations));
    let id: SubscriptionId = violations.all(id)?;
    let changed = api.journal.update_subscription(id.clone(), filter, labels).await;
    let subscription =
        to_proto(&api.journal, changed.map_err(|error| status::subscription_error(&id, error))?);
    Ok(v1::UpdateSubscriptionResponse { subscription: Some(subscription) })
}

/// The filter of a subscription. Empty if there is no such subscription, which fails later.
async fn stored_filter(api: &Api, id: Option<&SubscriptionId>) -> Result<Filter, Status> {
    let Some(id) = id else { return Ok(Filter::default()) };
    match api.journal.subscription(id).await {
        Ok(found) => Ok(found.subscription.filter),
        Err(SubscriptionError::Absent) => Ok(Filter::default()),
        Err(error) => Err(status::subscription_error(id, error)),
    }
}

/// `SubscriptionService.SeekSubscription`.
pub(in crate::api) async fn seek(
    api: &Api,
    call: Call<v1::SeekSubscriptionRequest>,
) -> Result<v1::SeekSubscriptionResponse, Status> {
    let request = call.message;
    use v1::seek_subscription_request::Target as RequestedStart;
    let mut violations = Violations::default();
    let id = id(&request.subscription_id, &mut violations);
    let start = match request.target {
        None => {
            let allowed = "must be given: `position`, `after_cursor` or `since`";
            violations.add("target", ViolationReason::Required, allowed);
            Ok(None)
        }
        Some(RequestedStart::Position(value)) => Ok(match position(value, &mut violations) {
            None => {
                let allowed = "must be given: START_POSITION_LATEST or START_POSITION_EARLIEST";
                violations.add("position", ViolationReason::Required, allowed);
                None
            }
            Some(Position::Latest) => Some(Start::Latest),
            Some(Position::Earliest) => Some(Start::Earliest),
        }),
        Some(RequestedStart::AfterCursor(text)) => {
            cursor("after_cursor", &text).map(|at| Some(Start::After(at)))
        }
        Some(RequestedStart::Since(moment)) => Ok(Some(Start::Since(since(moment, &mut violations)))),
    };
    let (id, start) = violations.all((id, start.transpose()))?;

    let changed = api.journal.seek_subscription(id.clone(), start?).await;
    let subscription =
        to_proto(&api.journal, changed.map_err(|error| status::subscription_error(&id, error))?);
    Ok(v1::SeekSubscriptionResponse { subscription: Some(subscription) })
}

/// `SubscriptionService.DeleteSubscription`.
pub(in crate::api) async fn delete(
    api: &Api,
    call: Call<v1::DeleteSubscriptionRequest>,
) -> Result<v1::DeleteSubscriptionResponse, Status> {
    let request = call.message;
    let id = only_id(&request.subscription_id)?;
    let deleted = api.journal.delete_subscription(id.clone()).await;
    deleted.map_err(|error| status::subscription_error(&id, error))?;
    Ok(v1::DeleteSubscriptionResponse {})
}

/// `SubscriptionService.Acknowledge`.
pub(in crate::api) async fn acknowledge(
    api: &Api,
    call: Call<v1::AcknowledgeRequest>,
) -> Result<v1::AcknowledgeResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let id = id(&request.subscription_id, &mut violations);
    if request.cursor.is_empty() {
        violations.add("cursor", ViolationReason::Required, "must be given");
    }
    let id = violations.all(id)?;
    let up_to = cursor("cursor", &request.cursor)?;
    let generation = Some(request.generation).filter(|&generation| generation > 0);
    let acknowledged = api.journal.acknowledge(id.clone(), up_to, generation).await;
    let cursor = acknowledged.map_err(|error| match error {
        SubscriptionError::Journal(journal::Error::ForeignCursor) => status::cursor_malformed("cursor"),
        error => status::subscription_error(&id, error),
    })?;
    Ok(v1::AcknowledgeResponse { cursor: cursor.to_string() })
}

/// The fields that an update sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct UpdateMask {
    filter: bool,
    labels: bool,
}

impl UpdateMask {
    /// Parses the paths of a mask in the request.
    fn read(paths: &[String], violations: &mut Violations) -> Self {
        let mut mask = Self::default();
        let mut unknown = false;
        for path in paths {
            match path.as_str() {
                "*" => mask = Self { filter: true, labels: true },
                "filter" => mask.filter = true,
                "labels" => mask.labels = true,
                path => unknown |= !IGNORED_IN_MASK.contains(&path),
            }
        }
        if unknown {
            let allowed = "must have only the paths `filter`, `labels`, or `*` for both";
            violations.add("update_mask", ViolationReason::UnknownValue, allowed);
        } else if mask == Self::default() {
            let problem = "must name a field to change: `filter`, `labels`, or `*` for both";
            violations.add("update_mask", ViolationReason::Required, problem);
        }
        mask
    }

    /// The mask of a request without one: the fields that are set in the subscription.
    fn populated(filter: bool, labels: bool, violations: &mut Violations) -> Self {
        if !filter && !labels {
            let problem = "must be given if the subscription has neither `filter` nor `labels`";
            violations.add("update_mask", ViolationReason::Required, problem);
        }
        Self { filter, labels }
    }
}

/// Parses the field `subscription.labels`.
fn read_labels(labels: HashMap<String, String>, violations: &mut Violations) -> Labels {
    const FIELD: &str = "subscription.labels";
    if labels.len() > MAX_LABELS {
        let problem = format!("must have at most {MAX_LABELS} items");
        violations.add(FIELD, ViolationReason::OutOfRange, problem);
        return Labels::default();
    }
    // Sorted, so the order of the violations does not vary.
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    for (key, value) in &labels {
        let field = label_field(FIELD, key);
        if !is_label_key(key) {
            let allowed = "must have keys of 1 to 63 characters: a lower-case letter, then lower-case letters, digits, `_` and `-`";
            violations.add(field.clone(), ViolationReason::Malformed, allowed);
        }
        if value.chars().count() > MAX_LABEL_CHARACTERS {
            let allowed = format!("must be at most {MAX_LABEL_CHARACTERS} characters");
            violations.add(field, ViolationReason::OutOfRange, allowed);
        }
    }
    labels
}

/// The path of a label. It names the key only if the key is short and printable ASCII, because a status travels in
/// headers.
fn label_field(field: &str, key: &str) -> String {
    let printable = key.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if printable && key.len() <= MAX_LABEL_CHARACTERS { format!("{field}[{key}]") } else { field.to_owned() }
}

fn is_label_key(key: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    key.len() <= MAX_LABEL_CHARACTERS
        && key.starts_with(|first: char| first.is_ascii_lowercase())
        && key.bytes().all(allowed)
}

/// Parses the field `subscription_id`.
pub(in crate::api) fn id(text: &str, violations: &mut Violations) -> Option<SubscriptionId> {
    parse::required("subscription_id", text, violations)
}

/// Parses the field `subscription_id` of a request that has no other field.
fn only_id(text: &str) -> Result<SubscriptionId, Status> {
    let mut violations = Violations::default();
    let id = id(text, &mut violations);
    Ok(violations.all(id)?)
}

fn to_proto(journal: &Journal, progress: Progress) -> v1::Subscription {
    let Progress { subscription, lag_events, lag_time, expired } = progress;
    let Filter { accounts, types, customers } = &subscription.filter;
    let filter = (subscription.filter != Filter::default()).then(|| v1::EventFilter {
        accounts: accounts.iter().map(AccountId::to_string).collect(),
        types: types.iter().map(TypePattern::to_string).collect(),
        customers: customers.iter().map(|customer| customer.address().to_string()).collect(),
    });
    v1::Subscription {
        subscription_id: subscription.id.to_string(),
        filter,
        labels: subscription.labels.into_iter().collect(),
        cursor: journal.cursor(subscription.sequence).to_string(),
        generation: subscription.generation,
        create_time: Some(convert::timestamp(subscription.create_time)),
        update_time: Some(convert::timestamp(subscription.update_time)),
        acknowledge_time: subscription.acknowledge_time.map(convert::timestamp),
        lag_events: Some(lag_events),
        lag_time: Some(convert::duration(lag_time)),
        expired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields and reasons of the violations.
    fn violations_of(read: impl FnOnce(&mut Violations)) -> Vec<(String, String)> {
        let mut violations = Violations::default();
        read(&mut violations);
        let listed = violations.into_field_violations();
        listed.into_iter().map(|violation| (violation.field, violation.reason)).collect()
    }

    fn mask(paths: &[&str]) -> (UpdateMask, Vec<(String, String)>) {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        let mut mask = UpdateMask::default();
        let found = violations_of(|violations| mask = UpdateMask::read(&paths, violations));
        (mask, found)
    }

    #[test]
    fn mask_selects_named_fields_in_any_order() {
        for (paths, filter, labels) in [
            (&["filter"] as &[_], true, false),
            (&["labels", "labels"], false, true),
            (&["labels", "filter"], true, true),
            (&["*"], true, true),
            (&["filter", "*"], true, true),
            (&["expired", "subscription_id", "labels", "lag_events"], false, true),
        ] {
            assert_eq!(mask(paths), (UpdateMask { filter, labels }, vec![]), "{paths:?}");
        }
    }

    #[test]
    fn mask_without_a_mutable_field_is_invalid() {
        for (paths, reason) in [
            (&[] as &[_], "REQUIRED"),
            (&IGNORED_IN_MASK, "REQUIRED"),
            (&["name"], "UNKNOWN_VALUE"),
            (&["", "filter"], "UNKNOWN_VALUE"),
            (&["filter.types", "labels"], "UNKNOWN_VALUE"),
            (&["labels.team", "subscription.labels"], "UNKNOWN_VALUE"),
        ] {
            assert_eq!(mask(paths).1, [("update_mask".to_owned(), reason.to_owned())], "{paths:?}");
        }
    }

    #[test]
    fn labels_within_the_limits_are_valid() {
        let longest = format!("a{}", "9".repeat(62));
        let mut labels: HashMap<String, String> = [("a", ""), ("team_1-x", "Žluťoučký\n"), (&longest, "x")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        labels.insert("long".to_owned(), "ž".repeat(63));
        for n in labels.len()..MAX_LABELS {
            labels.insert(format!("k{n}"), String::new());
        }
        let found = violations_of(|violations| {
            assert_eq!(read_labels(labels.clone(), violations), labels.into_iter().collect());
        });
        assert_eq!(found, []);
    }

    #[test]
    fn invalid_labels_are_all_reported() {
        let long = format!("a{}", "b".repeat(63));
        let value = "x".repeat(64);
        let labels =
            [("", ""), (" ", ""), ("1", ""), ("Team", &value), ("tým", ""), (&long, ""), ("team", &value)];
        let labels: HashMap<_, _> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let found = violations_of(|violations| drop(read_labels(labels, violations)));
        let expected = [
            ("subscription.labels[]", "MALFORMED"),
            ("subscription.labels[ ]", "MALFORMED"),
            ("subscription.labels[1]", "MALFORMED"),
            ("subscription.labels[Team]", "MALFORMED"),
            ("subscription.labels[Team]", "OUT_OF_RANGE"),
            ("subscription.labels", "MALFORMED"),
            ("subscription.labels[team]", "OUT_OF_RANGE"),
            ("subscription.labels", "MALFORMED"),
        ];
        assert_eq!(found, expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));

        let many = (0..65).map(|n| (format!("K{n}"), String::new())).collect();
        let found = violations_of(|violations| drop(read_labels(many, violations)));
        assert_eq!(found, [("subscription.labels".to_owned(), "OUT_OF_RANGE".to_owned())]);
    }
}

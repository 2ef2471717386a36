//! `WebhookRegistrationService`: registers webhook addresses at the provider, and explains rejected webhooks.

mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use prost_types::FieldMask;
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::field_mask::Fields;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::idempotency, request::page_token, request::paging, request::parse};
use crate::config;
use crate::domain::webhook::{
    Address, Change, Configuration, ConfigurationChange, Filter, NewRegistration, Registration,
    RegistrationId, Topic, channel_type, parse_channel_type,
};
use crate::domain::{Channel, ProviderFault, RefusalReason, UnknownReason};
use crate::pb::v1::{
    self, CreateWebhookRegistrationRequest, CreateWebhookRegistrationResponse,
    DeleteWebhookRegistrationRequest, DeleteWebhookRegistrationResponse, ListWebhookRegistrationsRequest,
    ListWebhookRegistrationsResponse, OnConflict, UpdateWebhookRegistrationRequest,
    UpdateWebhookRegistrationResponse, VerifyWebhookSignatureRequest, VerifyWebhookSignatureResponse,
    WebhookRegistration, WebhookRegistrationConfiguration, WebhookRegistrationFilter,
    WebhookRegistrationTopic,
};
use crate::provider::{Account, Accounts, Error, PreconditionFailed, WebhookRegistrations};

const LIST: &str = "WebhookRegistrationService.ListWebhookRegistrations";

/// The maximum number of channels, and of filters, in one registration.
const MAX_LIST_ITEMS: usize = 64;

/// The fields of a registration in an update.
const FIELDS: Fields = Fields {
    resource: "webhook_registration",
    mutable: &[
        "address",
        "configuration",
        "configuration.echo",
        "configuration.channels",
        "configuration.filters",
    ],
    immutable: &["topic"],
    ignored: &["webhook_registration_id", "provider_topic", "raw_json"],
};

/// The maximum time that an update waits for the provider's list of what it changed.
const READ_BACK_LIMIT: Duration = Duration::from_secs(5);

/// The maximum length of a text in a configuration, in characters.
const MAX_TEXT_CHARACTERS: usize = 256;

/// `WebhookRegistrationService.CreateWebhookRegistration`.
pub(in crate::api) async fn create_webhook_registration(
    api: &Api,
    call: Call<CreateWebhookRegistrationRequest>,
) -> Result<CreateWebhookRegistrationResponse, Status> {
    let Call { deadline, message: request, .. } = call;
    let mut violations = Violations::default();
    let account = supported_account(&request.account, api.dispatch.accounts(), &mut violations)?;
    let v1::WebhookRegistration { topic, address, configuration, .. } =
        request.webhook_registration.clone().unwrap_or_default();
    let topic = read_topic(topic, &mut violations);
    let address = if address.is_empty() {
        account.and_then(|account| default_address(&api.webhook, account, &mut violations))
    } else {
        parse::required("webhook_registration.address", &address, &mut violations)
    };
    let configuration = read_configuration(configuration, &mut violations);
    let replace = read_on_conflict(request.on_conflict, &mut violations);
    let key = idempotency::read("", &request.request_id, request.resend_after_attempt, &mut violations);
    let idempotent = key.map(|key| key.request(idempotency::of_webhook_registration(&request)));
    let (account, topic, address) = violations.all((account, topic, address))?;
    let new = NewRegistration { topic, address, configuration };
    let write = move |account: Arc<Account>| {
        let new = new.clone();
        async move { Ok(create_or_replace(&account, new, replace).await?.encode_to_vec().into()) }
    };
    let completed = api
        .dispatch
        .write(account, "create_webhook_registration", idempotent, deadline, write)
        .await
        .map_err(|failure| status::write_failed(account, &failure))?;
    Ok(CreateWebhookRegistrationResponse { replayed: completed.replayed, ..idempotency::reply(&completed)? })
}

/// `WebhookRegistrationService.ListWebhookRegistrations`.
pub(in crate::api) async fn list_webhook_registrations(
    api: &Api,
    call: Call<ListWebhookRegistrationsRequest>,
) -> Result<ListWebhookRegistrationsResponse, Status> {
    let Call { deadline, message: request, .. } = call;
    let mut violations = Violations::default();
    let account = supported_account(&request.account, api.dispatch.accounts(), &mut violations)?;
    let size = paging::page_size(request.page_size, &mut violations);
    let account = violations.all(account)?;
    let offset = page_token::decode(LIST, Some(account.id()), &request.page_token)?;
    let listed = api
        .dispatch
        .read(account, "list_webhook_registrations", deadline, || client(account).list_webhooks())
        .await
        .map_err(|error| status::read_failed(account, &error))?;
    let listed = listed.into_iter().map(to_proto).collect();
    let (webhook_registrations, next_page_token) =
        paging::whole_list(LIST, Some(account.id()), listed, offset, size);
    Ok(ListWebhookRegistrationsResponse { webhook_registrations, next_page_token })
}

/// `WebhookRegistrationService.UpdateWebhookRegistration`.
pub(in crate::api) async fn update_webhook_registration(
    api: &Api,
    call: Call<UpdateWebhookRegistrationRequest>,
) -> Result<UpdateWebhookRegistrationResponse, Status> {
    let deadline = call.deadline;
    let UpdateWebhookRegistrationRequest { account, webhook_registration, update_mask } = call.message;
    let registration = webhook_registration.unwrap_or_default();
    let mut violations = Violations::default();
    let account = supported_account(&account, api.dispatch.accounts(), &mut violations)?;
    let id = parse::required::<RegistrationId>(
        "webhook_registration.webhook_registration_id",
        &registration.webhook_registration_id,
        &mut violations,
    );
    let change = read_change(registration, update_mask, &mut violations);
    let (account, id) = violations.all((account, id))?;
    api.update(account, id.clone(), change, deadline).await?;
    // The change is done, so the outcome of this read does not matter, and it may not delay the success for long.
    let read = api
        .dispatch
        .read(account, "list_webhook_registrations", deadline, || client(account).list_webhooks());
    let listed = timeout(READ_BACK_LIMIT, read).await.ok().and_then(Result::ok);
    let mut listed = listed.unwrap_or_default().into_iter();
    let updated = listed.find(|registration| registration.id == id.as_str());
    Ok(UpdateWebhookRegistrationResponse { webhook_registration: updated.map(to_proto) })
}

/// `WebhookRegistrationService.DeleteWebhookRegistration`.
pub(in crate::api) async fn delete_webhook_registration(
    api: &Api,
    call: Call<DeleteWebhookRegistrationRequest>,
) -> Result<DeleteWebhookRegistrationResponse, Status> {
    let deadline = call.deadline;
    let DeleteWebhookRegistrationRequest { account, webhook_registration_id } = call.message;
    let mut violations = Violations::default();
    let account = supported_account(&account, api.dispatch.accounts(), &mut violations)?;
    let id = parse::required::<RegistrationId>(
        "webhook_registration_id",
        &webhook_registration_id,
        &mut violations,
    );
    let (account, id) = violations.all((account, id))?;
    let write = api
        .dispatch
        .write(account, "delete_webhook_registration", None, deadline, move |account| {
            let id = id.clone();
            async move { client(&account).delete_webhook(&id).await.map(|()| Bytes::new()) }
        })
        .await;
    write.map_err(|cause| status::write_failed(account, &cause))?;
    Ok(DeleteWebhookRegistrationResponse {})
}

/// `WebhookRegistrationService.VerifyWebhookSignature`.
pub(in crate::api) async fn verify_webhook_signature(
    api: &Api,
    call: Call<VerifyWebhookSignatureRequest>,
) -> Result<VerifyWebhookSignatureResponse, Status> {
    let VerifyWebhookSignatureRequest { account, body, signature } = call.message;
    let mut violations = Violations::default();
    let account = parse::account("account", &account, api.dispatch.accounts(), &mut violations)?;
    let account = violations.all(account)?;
    let signature = Some(signature.as_str()).filter(|signature| !signature.is_empty());
    Ok(verify::webhook(account, api.webhook.max_body_bytes, body, signature))
}

impl Api {
    async fn update(
        &self,
        account: &Arc<Account>,
        id: RegistrationId,
        change: Change,
        deadline: Option<Instant>,
    ) -> Result<(), Status> {
        let write = self
            .dispatch
            .write(account, "update_webhook_registration", None, deadline, move |account| {
                let (id, change) = (id.clone(), change.clone());
                async move { client(&account).update_webhook(&id, &change).await.map(|()| Bytes::new()) }
            })
            .await;
        write.map(drop).map_err(|failure| status::write_failed(account, &failure))
    }
}

/// Reads the registration of a topic, then creates it, replaces it, or fails.
///
/// All of it is one write, so a retry with the same `request_id` neither reads nor writes.
async fn create_or_replace(
    account: &Account,
    new: NewRegistration,
    replace: bool,
) -> Result<CreateWebhookRegistrationResponse, Error> {
    let topic = new.topic;
    match find_by_topic(account, topic).await? {
        None => match client(account).create_webhook(&new).await {
            Ok(created) => Ok(CreateWebhookRegistrationResponse {
                webhook_registration: Some(to_proto(created)),
                previous: None,
                replayed: false,
            }),
            // Another client has registered the topic since the read.
            Err(Error::Refused(fault))
                if fault.http_status == Some(409) || fault.refusal == RefusalReason::Conflict =>
            {
                let existing = find_by_topic(account, topic).await.ok().flatten().map(Box::new);
                Err(Error::PreconditionFailed(PreconditionFailed::Registered {
                    existing,
                    fault: Some(Box::new(fault)),
                }))
            }
            Err(error) => Err(error),
        },
        Some(existing) if replace => {
            let Ok(id) = existing.id.parse() else {
                return Err(read_failed_error(UnknownReason::ReplyUnreadable, None));
            };
            let set = new.configuration.set_fields();
            let replaced = Registration {
                address: new.address.to_string(),
                configuration: existing.configuration.clone().changed_by(set.clone()),
                raw_json: String::new(),
                ..existing.clone()
            };
            let change = Change { address: Some(new.address), configuration: set };
            client(account).update_webhook(&id, &change).await?;
            Ok(CreateWebhookRegistrationResponse {
                webhook_registration: Some(to_proto(replaced)),
                previous: Some(to_proto(existing)),
                replayed: false,
            })
        }
        Some(existing) => Err(Error::PreconditionFailed(PreconditionFailed::Registered {
            existing: Some(Box::new(existing)),
            fault: None,
        })),
    }
}

/// Returns the registration of a topic. If the read fails, the outcome is known: nothing was written.
async fn find_by_topic(account: &Account, topic: Topic) -> Result<Option<Registration>, Error> {
    match client(account).list_webhooks().await {
        Ok(listed) => Ok(listed.into_iter().find(|registration| registration.topic == Some(topic))),
        Err(Error::Unknown { cause, fault }) => Err(read_failed_error(cause, fault)),
        Err(error @ (Error::NotSent(_) | Error::Refused(_) | Error::PreconditionFailed(_))) => Err(error),
    }
}

fn read_failed_error(cause: UnknownReason, fault: Option<ProviderFault>) -> Error {
    Error::PreconditionFailed(PreconditionFailed::NotRead(Box::new(Error::Unknown { cause, fault })))
}

fn client(account: &Account) -> &dyn WebhookRegistrations {
    account.registrations().expect("validation rejects accounts without webhooks")
}

/// Finds the account that a request names. A violation if its provider registers no webhooks.
fn supported_account<'a>(
    id: &str,
    accounts: &'a Accounts,
    violations: &mut Violations,
) -> Result<Option<&'a Arc<Account>>, Status> {
    let account = parse::account("account", id, accounts, violations)?;
    Ok(account.filter(|account| {
        let supported = account.registrations().is_some();
        if !supported {
            let problem =
                format!("must be an account of a provider with webhooks: {} sends none", account.provider());
            violations.add("account", ViolationReason::Unsupported, problem);
        }
        supported
    }))
}

fn read_topic(topic: i32, violations: &mut Violations) -> Option<Topic> {
    let allowed = "WEBHOOK_REGISTRATION_TOPIC_MESSAGES, WEBHOOK_REGISTRATION_TOPIC_DELIVERY_STATUS or \
        WEBHOOK_REGISTRATION_TOPIC_REPORT";
    match WebhookRegistrationTopic::try_from(topic) {
        Ok(WebhookRegistrationTopic::Messages) => Some(Topic::Messages),
        Ok(WebhookRegistrationTopic::DeliveryStatus) => Some(Topic::DeliveryStatus),
        Ok(WebhookRegistrationTopic::Report) => Some(Topic::Report),
        Ok(WebhookRegistrationTopic::Unspecified) => {
            violations.add(
                "webhook_registration.topic",
                ViolationReason::Required,
                format!("must be given: {allowed}"),
            );
            None
        }
        Err(_) => {
            violations.add(
                "webhook_registration.topic",
                ViolationReason::UnknownValue,
                format!("must be {allowed}"),
            );
            None
        }
    }
}

fn read_on_conflict(on_conflict: i32, violations: &mut Violations) -> bool {
    match OnConflict::try_from(on_conflict) {
        Ok(OnConflict::Unspecified | OnConflict::Fail) => false,
        Ok(OnConflict::Replace) => true,
        Err(_) => {
            let allowed = "must be ON_CONFLICT_FAIL or ON_CONFLICT_REPLACE";
            violations.add("on_conflict", ViolationReason::UnknownValue, allowed);
            false
        }
    }
}

/// This server's address for an account's webhooks.
fn default_address(
    config: &config::Webhook,
    account: &Account,
    violations: &mut Violations,
) -> Option<Address> {
    let Some(url) = config.address_of(account.id()) else {
        let problem = "must be given, or `public_url` in [webhook] of the configuration must be set";
        violations.add("webhook_registration.address", ViolationReason::Required, problem);
        return None;
    };
    let address = url.as_str().parse().ok();
    if address.is_none() {
        let problem = "must be given, because `public_url` in [webhook] of the configuration is not https";
        violations.add("webhook_registration.address", ViolationReason::Malformed, problem);
    }
    address
}

fn read_configuration(
    configuration: Option<WebhookRegistrationConfiguration>,
    violations: &mut Violations,
) -> Configuration {
    let WebhookRegistrationConfiguration { echo, channels, provider_channels, filters } =
        configuration.unwrap_or_default();
    Configuration {
        echo,
        channel_types: read_channels(&channels, &provider_channels, violations),
        filters: read_filters(filters, violations),
    }
}

/// Reads the fields that the mask names; without a mask, the fields that are set.
fn read_change(
    registration: WebhookRegistration,
    mask: Option<FieldMask>,
    violations: &mut Violations,
) -> Change {
    let WebhookRegistration { address, configuration, .. } = registration;
    let WebhookRegistrationConfiguration { echo, channels, provider_channels, filters } =
        configuration.unwrap_or_default();
    let set = [
        ("address", !address.is_empty()),
        ("configuration.echo", echo.is_some()),
        ("configuration.channels", !channels.is_empty()),
        ("configuration.filters", !filters.is_empty()),
    ];
    let set = set.into_iter().filter_map(|(path, is_set)| is_set.then_some(path));
    let changed = FIELDS.changed(mask, set, violations).unwrap_or_default();
    let is_changed = |path| changed.contains(path);
    let whole = is_changed("configuration");

    let address = if is_changed("address") {
        parse::required::<Address>("webhook_registration.address", &address, violations)
    } else {
        None
    };
    if is_changed("configuration.echo") && echo.is_none() {
        let problem = "must be given if `update_mask` names it, because it cannot be cleared";
        violations.add("webhook_registration.configuration.echo", ViolationReason::Required, problem);
    }
    let configuration = ConfigurationChange {
        echo: echo.filter(|_| whole || is_changed("configuration.echo")),
        channel_types: (whole || is_changed("configuration.channels"))
            .then(|| read_channels(&channels, &provider_channels, violations)),
        filters: (whole || is_changed("configuration.filters")).then(|| read_filters(filters, violations)),
    };
    Change { address, configuration }
}

/// The provider's names of the channels. An unspecified channel takes the word at its index.
fn read_channels(channels: &[i32], words: &[String], violations: &mut Violations) -> Vec<String> {
    const FIELD: &str = "webhook_registration.configuration.channels";
    let mut names = Vec::new();
    for (at, &channel) in parse::limit_items(FIELD, channels, MAX_LIST_ITEMS, violations).iter().enumerate() {
        match v1::Channel::try_from(channel) {
            Ok(v1::Channel::Whatsapp) => names.push(channel_type(Channel::WhatsApp).to_owned()),
            Ok(v1::Channel::Sms) => names.push(channel_type(Channel::Sms).to_owned()),
            Ok(v1::Channel::Unspecified) => match words.get(at).filter(|word| !word.is_empty()) {
                Some(word) => {
                    let field = format!("webhook_registration.configuration.provider_channels[{at}]");
                    parse::check_length(&field, word, MAX_TEXT_CHARACTERS, violations);
                    names.push(word.clone());
                }
                None => {
                    let problem = "must be a channel, or `provider_channels` must have a word at this index";
                    violations.add(format!("{FIELD}[{at}]"), ViolationReason::Required, problem);
                }
            },
            Err(_) => {
                let allowed = "must be CHANNEL_WHATSAPP, CHANNEL_SMS or CHANNEL_UNSPECIFIED";
                violations.add(format!("{FIELD}[{at}]"), ViolationReason::UnknownValue, allowed);
            }
        }
    }
    names
}

fn read_filters(filters: Vec<WebhookRegistrationFilter>, violations: &mut Violations) -> Vec<Filter> {
    const FIELD: &str = "webhook_registration.configuration.filters";
    for (at, WebhookRegistrationFilter { field, expression }) in
        parse::limit_items(FIELD, &filters, MAX_LIST_ITEMS, violations).iter().enumerate()
    {
        check_required_text(format!("{FIELD}[{at}].field"), field, violations);
        check_required_text(format!("{FIELD}[{at}].expression"), expression, violations);
    }
    let filter = |WebhookRegistrationFilter { field, expression }| Filter { field, expression };
    filters.into_iter().map(filter).collect()
}

fn check_required_text(field: String, text: &str, violations: &mut Violations) {
    if text.is_empty() {
        violations.add(field, ViolationReason::Required, "must be given");
    } else {
        parse::check_length(&field, text, MAX_TEXT_CHARACTERS, violations);
    }
}

fn to_proto(registration: Registration) -> WebhookRegistration {
    let Registration { id, topic, provider_topic, address, configuration, raw_json } = registration;
    let topic = match topic {
        Some(Topic::Messages) => WebhookRegistrationTopic::Messages,
        Some(Topic::DeliveryStatus) => WebhookRegistrationTopic::DeliveryStatus,
        Some(Topic::Report) => WebhookRegistrationTopic::Report,
        None => WebhookRegistrationTopic::Unspecified,
    };
    let filter = |Filter { field, expression }| WebhookRegistrationFilter { field, expression };
    let channel = |name: &String| match parse_channel_type(name) {
        Some(Channel::WhatsApp) => v1::Channel::Whatsapp.into(),
        Some(Channel::Sms) => v1::Channel::Sms.into(),
        None => v1::Channel::Unspecified.into(),
    };
    WebhookRegistration {
        webhook_registration_id: id,
        topic: topic.into(),
        provider_topic,
        address,
        configuration: Some(WebhookRegistrationConfiguration {
            echo: configuration.echo,
            channels: configuration.channel_types.iter().map(channel).collect(),
            provider_channels: configuration.channel_types,
            filters: configuration.filters.into_iter().map(filter).collect(),
        }),
        raw_json,
    }
}

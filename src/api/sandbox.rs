//! `SandboxService`: controls the fake providers. Only the sandbox serves it.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::paging::{self, Bound, Slice};
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::request::{page_token, parse};
use crate::domain::{Address, Provider, UserId};
use crate::pb::sandbox::v1 as pb;
use crate::provider::{Account, Accounts};
use crate::sandbox::connectly::{Sender, Signature};
use crate::sandbox::{
    Connectly, Endpoint, Fault, FaultDetail, FaultMalformed, FaultRule, Operation, Sandbox,
};

const LIST: &str = "SandboxService.ListCalls";

/// The part of a call's body that is listed. As text it is at most three times as long, which still fits into a response.
const MAX_CALL_BODY_BYTES: usize = 1 << 20;

/// The implementation of `SandboxService`.
#[derive(Clone, Debug)]
pub(super) struct SandboxApi {
    pub(super) accounts: Accounts,
    pub(super) sandbox: Arc<Sandbox>,
}

impl SandboxApi {
    fn provider(&self, account: &str, violations: &mut Violations) -> Result<Option<&Endpoint>, Status> {
        let account = parse::account("account", account, &self.accounts, violations)?;
        Ok(account.and_then(|account| self.endpoint(account, violations)))
    }

    /// The fake of an account's provider. A violation if there is none.
    fn endpoint(&self, account: &Account, violations: &mut Violations) -> Option<&Endpoint> {
        match account.provider() {
            Provider::CONNECTBY => Some(self.sandbox.connectby()),
            Provider::CONNECTLY => Some(self.sandbox.connectly()),
            other => {
                violations.add(
                    "account",
                    ViolationReason::Unsupported,
                    format!("the sandbox has no {other}"),
                );
                None
            }
        }
    }

    /// The fake provider that sends webhooks. A violation if the account's provider has none.
    fn webhook_sender(&self, account: &str, violations: &mut Violations) -> Result<&Connectly, Status> {
        if let Some(account) = parse::account("account", account, &self.accounts, violations)?
            && account.webhooks().is_none()
        {
            violations.add(
                "account",
                ViolationReason::Unsupported,
                "must be an account whose provider has webhooks",
            );
        }
        Ok(self.sandbox.connectly())
    }
}

/// `SandboxService.InjectMessage`.
pub(in crate::api) async fn inject_message(
    api: &SandboxApi,
    call: Call<pb::InjectMessageRequest>,
) -> Result<pb::InjectMessageResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let connectly = api.webhook_sender(&request.account, &mut violations)?;
    let sender = parse::required::<Address>("sender", &request.sender, &mut violations);
    if !request.user_id.is_empty() && request.sender.starts_with("bsuid:") {
        violations.add("user_id", ViolationReason::Mismatch, "must be empty if `sender` is a user id");
    }
    let user_id = optional_user_id("user_id", request.user_id, &mut violations);
    let parent_user_id = optional_user_id("parent_user_id", request.parent_user_id, &mut violations);
    if request.text.is_empty() {
        violations.add("text", ViolationReason::Required, "must be given");
    }
    violations.check()?;
    let address = match &sender {
        Some(Address::Phone(number)) => number.as_str(),
        Some(Address::User(id)) => id.as_str(),
        None => "",
    };
    let username = Some(request.username).filter(|username| !username.is_empty());
    let sender = Sender { address: address.to_owned(), user_id, parent_user_id, username };
    let delivery = connectly.inject_message_from(&sender, &request.text).await;
    Ok(pb::InjectMessageResponse {
        provider_message_id: delivery.message_id.unwrap_or_default(),
        webhook_status: delivery.status.map_or(0, u32::from),
    })
}

/// `SandboxService.InjectWebhook`.
pub(in crate::api) async fn inject_webhook(
    api: &SandboxApi,
    call: Call<pb::InjectWebhookRequest>,
) -> Result<pb::InjectWebhookResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let connectly = api.webhook_sender(&request.account, &mut violations)?;
    let signature = match pb::WebhookSignature::try_from(request.signature) {
        Ok(pb::WebhookSignature::Unspecified | pb::WebhookSignature::Valid) => Signature::Right,
        Ok(pb::WebhookSignature::Invalid) => Signature::Wrong,
        Ok(pb::WebhookSignature::Missing) => Signature::Missing,
        Err(_) => {
            violations.add(
                "signature",
                ViolationReason::UnknownValue,
                "must be `WEBHOOK_SIGNATURE_VALID`, `WEBHOOK_SIGNATURE_INVALID` or `WEBHOOK_SIGNATURE_MISSING`",
            );
            Signature::Missing
        }
    };
    violations.check()?;
    let delivery = connectly.inject_webhook(request.body, signature).await;
    Ok(pb::InjectWebhookResponse { webhook_status: delivery.status.map_or(0, u32::from) })
}

/// `SandboxService.SetFault`.
pub(in crate::api) async fn set_fault(
    api: &SandboxApi,
    call: Call<pb::SetFaultRequest>,
) -> Result<pb::SetFaultResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let provider = api.provider(&request.account, &mut violations)?;
    let rule = fault_rule(&request, &mut violations);
    violations.check()?;
    if let (Some(provider), Some(rule)) = (provider, rule) {
        provider.set_fault(rule).await;
    }
    Ok(pb::SetFaultResponse {})
}

/// `SandboxService.ClearFaults`.
pub(in crate::api) async fn clear_faults(
    api: &SandboxApi,
    call: Call<pb::ClearFaultsRequest>,
) -> Result<pb::ClearFaultsResponse, Status> {
    let mut violations = Violations::default();
    let provider = api.provider(&call.message.account, &mut violations)?;
    violations.check()?;
    if let Some(provider) = provider {
        provider.clear_faults().await.map_err(|_| status::sandbox_failed())?;
    }
    Ok(pb::ClearFaultsResponse {})
}

/// `SandboxService.ListCalls`.
pub(in crate::api) async fn list_calls(
    api: &SandboxApi,
    call: Call<pb::ListCallsRequest>,
) -> Result<pb::ListCallsResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let account = parse::account("account", &request.account, &api.accounts, &mut violations)?;
    let endpoint = account.and_then(|account| api.endpoint(account, &mut violations));
    let size = paging::page_size(request.page_size, &mut violations);
    let (account, endpoint) = violations.all((account, endpoint))?;
    let position: Option<u64> = page_token::decode(LIST, Some(account.id()), &request.page_token)?;
    let after = position.unwrap_or(request.after_sequence);
    // One more than the page has shows whether there is a next page.
    let calls = endpoint.calls().into_iter().filter(|call| call.sequence > after).take(size + 1);
    let calls = calls
        .map(|call| pb::Call {
            sequence: call.sequence,
            operation: call.operation.map(Operation::as_str).unwrap_or_default().to_owned(),
            method: call.method,
            path: call.path,
            body: String::from_utf8_lossy(&call.body[..call.body.len().min(MAX_CALL_BODY_BYTES)])
                .into_owned(),
            http_status: call.status.map(u32::from).unwrap_or_default(),
            body_size_bytes: call.body.len() as u64,
        })
        .collect();
    let Slice { items: calls, end, .. } = paging::slice(calls, Bound::default(), size);
    let next_page_token = match calls.last() {
        Some(last) if end.is_some() => page_token::encode(LIST, Some(account.id()), &last.sequence),
        _ => String::new(),
    };
    Ok(pb::ListCallsResponse { calls, next_page_token })
}

/// Parses a user id without a prefix. An empty text is none.
fn optional_user_id(field: &str, text: String, violations: &mut Violations) -> Option<String> {
    if !text.is_empty() && text.parse::<UserId>().is_err() {
        let description = "must be a business-scoped user id without a prefix, like `US.123` or `US.ENT.123`";
        violations.add(field, ViolationReason::Malformed, description);
    }
    Some(text).filter(|text| !text.is_empty())
}

fn fault_rule(request: &pb::SetFaultRequest, violations: &mut Violations) -> Option<FaultRule> {
    let operation = match request.operation.as_str() {
        "" => None,
        name => match name.parse::<Operation>() {
            Ok(operation) => Some(operation),
            Err(error) => {
                violations.add("operation", ViolationReason::UnknownValue, error.to_string());
                None
            }
        },
    };
    let max_latency = Duration::from_secs(300);
    let latency = parse::duration("latency", request.latency, Duration::ZERO..=max_latency, violations);
    // `FAULT_KIND_CUT_REPLY` is the kind `cut_reply`.
    let kind = pb::FaultKind::try_from(request.kind).unwrap_or_default().as_str_name();
    let kind = kind.trim_start_matches("FAULT_KIND_").to_ascii_lowercase();
    let detail = FaultDetail {
        latency,
        status: u16::try_from(request.http_status).ok(),
        retry_after: request.retry_after.clone(),
        code: request.code,
        body: request.body.clone(),
    };
    match Fault::from_kind(&kind, detail) {
        Ok(fault) => {
            let times = Some(request.times).filter(|&times| times > 0);
            Some(FaultRule { operation, times, fault })
        }
        Err(FaultMalformed::Kind) => {
            if request.kind == 0 {
                violations.add("kind", ViolationReason::Required, "must be given");
            } else {
                violations.add(
                    "kind",
                    ViolationReason::UnknownValue,
                    "must be a `FaultKind` of this version",
                );
            }
            None
        }
        Err(FaultMalformed::LatencyMissing) => {
            violations.add("latency", ViolationReason::Required, "must be given for FAULT_KIND_LATENCY");
            None
        }
        Err(FaultMalformed::Status) => {
            violations.add("http_status", ViolationReason::OutOfRange, "must be from 200 to 599");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_fault_kinds_equal_those_of_the_contract() {
        let mut kinds: Vec<String> = (1..)
            .map_while(|number| pb::FaultKind::try_from(number).ok())
            .map(|kind| kind.as_str_name().trim_start_matches("FAULT_KIND_").to_ascii_lowercase())
            .collect();
        let mut known = Fault::KINDS.to_vec();
        kinds.sort_unstable();
        known.sort_unstable();
        assert_eq!(kinds, known);
    }
}

//! Media files that clients upload: `SendMedia` and `UploadTemplateMedia`.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Status, Streaming};

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::upload::{UploadReader, file_name};
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::idempotency, request::parse, response::convert};
use crate::dispatch::SendOptions;
use crate::domain::{Address, UploadLimits};
use crate::pb::v1;
use crate::provider::{Account, Parts, Uploads};

/// `MessageService.SendMedia`.
pub(in crate::api) async fn send_media(
    api: &Api,
    call: Call<Streaming<v1::SendMediaRequest>>,
) -> Result<v1::SendMediaResponse, Status> {
    let Call { deadline, message: messages, .. } = call;
    let mut upload = UploadReader::new(messages, api.stopping.clone());
    let (header, first) = upload.header().await?;
    let mut violations = Violations::default();
    let account =
        parse::account("header.account", &header.account, api.dispatch.accounts(), &mut violations)?;
    let to = parse::required::<Address>("header.to", &header.to, &mut violations);
    let channel = parse::channel("header.channel", header.channel, &mut violations);
    let name = file_name("header.file_name", header.file_name.clone(), &mut violations);
    let key = idempotency::read("header.", &header.request_id, header.resend_after_attempt, &mut violations);
    let checks = parse::checks("header.checks", header.checks, &mut violations);
    let callback_data = parse::callback_data("header.callback_data", &header.callback_data, &mut violations);
    let alternative = "send `SendMessageRequest.media`";
    let limits = account.and_then(|account| limits(account, alternative, &mut violations));
    if let (Some(account), Some(_)) = (account, limits) {
        let parts = Parts { to: to.as_ref(), channel, ..Parts::default() };
        parse::validate("header.", account, parts, &mut violations);
    }
    let (account, to, channel, name, limits) = violations.all((account, to, channel, name, limits))?;
    let spool = api.dispatch.spool().ok_or_else(status::uploads_exhausted)?;
    let file = upload.file(first, spool, limits, name).await?;
    let request = key.map(|key| key.request(idempotency::of_media(header, &to, channel, &file.digest)));
    let options = SendOptions { request, deadline, ..checks };
    let message = api
        .dispatch
        .send_media(Arc::clone(account), to, channel, callback_data, file, options)
        .await
        .map_err(|failure| status::send_failed(account, &failure))?;
    Ok(v1::SendMediaResponse { message: Some(convert::message(message.value)), replayed: message.replayed })
}

/// `TemplateService.UploadTemplateMedia`.
pub(in crate::api) async fn upload_template_media(
    api: &Api,
    call: Call<Streaming<v1::UploadTemplateMediaRequest>>,
) -> Result<v1::UploadTemplateMediaResponse, Status> {
    let Call { deadline, message: messages, .. } = call;
    let mut upload = UploadReader::new(messages, api.stopping.clone());
    let (header, first) = upload.header().await?;
    let mut violations = Violations::default();
    let account =
        parse::account("header.account", &header.account, api.dispatch.accounts(), &mut violations)?;
    let name = file_name("header.file_name", header.file_name.clone(), &mut violations);
    let key = idempotency::read("header.", &header.request_id, header.resend_after_attempt, &mut violations);
    let alternative = "send the file's URL in the header of the template message";
    let limits = account.and_then(|account| limits(account, alternative, &mut violations));
    let (account, name, limits) = violations.all((account, name, limits))?;
    let spool = api.dispatch.spool().ok_or_else(status::uploads_exhausted)?;
    let file = upload.file(first, spool, limits, name).await?;
    let request = key.map(|key| key.request(idempotency::of_template_media(header, &file.digest)));
    let write = move |account: Arc<Account>| {
        let file = file.clone();
        async move {
            let url = client(&account).upload_template_media(file).await?;
            let response = v1::UploadTemplateMediaResponse { url, replayed: false };
            Ok(response.encode_to_vec().into())
        }
    };
    let completed = api
        .dispatch
        .write(account, "upload_template_media", request, deadline, write)
        .await
        .map_err(|cause| status::write_failed(account, &cause))?;
    Ok(v1::UploadTemplateMediaResponse { replayed: completed.replayed, ..idempotency::reply(&completed)? })
}

fn client(account: &Account) -> &dyn Uploads {
    account.uploads().expect("validation rejects accounts without uploads")
}

/// The account's limits for uploads. A violation if its provider accepts none.
fn limits(account: &Account, alternative: &str, violations: &mut Violations) -> Option<UploadLimits> {
    let limits = account.limits().upload;
    if limits.is_none() {
        let problem = format!("{} accepts no uploads: {alternative}", account.provider());
        violations.add("header.account", ViolationReason::Unsupported, problem);
    }
    limits
}

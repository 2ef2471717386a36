//! `TemplateService`.

use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::api::call::Call;
use crate::api::request::paging::{Bound, Slice};
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::request::{page_token, paging, parse};
use crate::api::{Api, error::status, response::convert};
use crate::domain::template::{Page, TemplateListStart};
use crate::pb::v1::{GetTemplateRequest, GetTemplateResponse, ListTemplatesRequest, ListTemplatesResponse};
use crate::provider::{Account, Templates};

const LIST: &str = "TemplateService.ListTemplates";

/// The content of a page token.
#[derive(Debug, Default, Serialize, Deserialize)]
struct TemplatePageToken {
    /// The provider's page. `None` means the first one.
    provider_page: Option<ProviderCursor>,
    bound: Bound,
}

/// A provider's cursor, and whether the provider's page is before or after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProviderCursor {
    After(String),
    Before(String),
}

impl From<ProviderCursor> for TemplateListStart {
    fn from(cursor: ProviderCursor) -> Self {
        match cursor {
            ProviderCursor::After(cursor) => Self::After(cursor),
            ProviderCursor::Before(cursor) => Self::Before(cursor),
        }
    }
}

/// `TemplateService.ListTemplates`.
pub(in crate::api) async fn list_templates(
    api: &Api,
    call: Call<ListTemplatesRequest>,
) -> Result<ListTemplatesResponse, Status> {
    let Call { deadline, message: request, .. } = call;
    let mut violations = Violations::default();
    let account = parse::account("account", &request.account, api.dispatch.accounts(), &mut violations)?;
    let listed = account.and_then(|account| templates(account, &mut violations));
    let size = paging::page_size(request.page_size, &mut violations);
    let (account, listed) = violations.all((account, listed))?;
    let token: Option<TemplatePageToken> = page_token::decode(LIST, Some(account.id()), &request.page_token)?;
    let TemplatePageToken { provider_page, bound } = token.unwrap_or_default();
    let start = provider_page.clone().map(TemplateListStart::from).unwrap_or_default();
    let Page { templates, after, before } = api
        .dispatch
        .read(account, "list_templates", deadline, || listed.list_templates(&start))
        .await
        .map_err(|error| status::read_failed(account, &error))?;
    let templates = templates.into_iter().map(convert::template::definition).collect();
    let Slice { items: templates, start, end } = paging::slice(templates, bound, size);
    let same_page = |bound| TemplatePageToken { provider_page: provider_page.clone(), bound };
    let other_page = |cursor, bound| TemplatePageToken { provider_page: Some(cursor), bound };
    let next = match end {
        Some(end) => Some(same_page(Bound::From(end))),
        None => after.map(|after| other_page(ProviderCursor::After(after), Bound::From(0))),
    };
    let previous = match start {
        0 => before.map(|before| other_page(ProviderCursor::Before(before), Bound::Last)),
        start => Some(same_page(Bound::Before(start))),
    };
    let encode = |token: Option<TemplatePageToken>| {
        token.map(|token| page_token::encode(LIST, Some(account.id()), &token)).unwrap_or_default()
    };
    Ok(ListTemplatesResponse {
        templates,
        next_page_token: encode(next),
        previous_page_token: encode(previous),
    })
}

/// `TemplateService.GetTemplate`.
pub(in crate::api) async fn get_template(
    api: &Api,
    call: Call<GetTemplateRequest>,
) -> Result<GetTemplateResponse, Status> {
    let deadline = call.deadline;
    let GetTemplateRequest { account, name, language } = call.message;
    let mut violations = Violations::default();
    let account = parse::account("account", &account, api.dispatch.accounts(), &mut violations)?;
    let listed = account.and_then(|account| templates(account, &mut violations));
    parse::template::name("name", &name, &mut violations);
    if language.is_empty() {
        violations.add("language", ViolationReason::Required, "must be given");
    }
    let (account, listed) = violations.all((account, listed))?;
    let found = api
        .dispatch
        .read(account, "get_template", deadline, || listed.find_template(&name, &language))
        .await
        .map_err(|error| status::read_failed(account, &error))?;
    Ok(GetTemplateResponse { template: Some(convert::template::definition(found)) })
}

/// The account's templates. A violation if its provider has none.
fn templates<'a>(account: &'a Account, violations: &mut Violations) -> Option<&'a dyn Templates> {
    let templates = account.templates();
    if templates.is_none() {
        let problem = format!("{} has no templates", account.provider());
        violations.add("account", ViolationReason::Unsupported, problem);
    }
    templates
}

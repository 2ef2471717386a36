//! `FlowService`.

use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::paging::NumberedPageToken;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::paging, request::parse, response::convert};
use crate::domain::flow::{Answers, FlowResponse};
use crate::pb::v1;

const LIST: &str = "FlowService.ListFlowResponses";

/// `FlowService.ListFlowResponses`.
pub(in crate::api) async fn list_flow_responses(
    api: &Api,
    call: Call<v1::ListFlowResponsesRequest>,
) -> Result<v1::ListFlowResponsesResponse, Status> {
    let Call { deadline, message: request, .. } = call;
    let mut violations = Violations::default();
    let account = parse::account("account", &request.account, api.dispatch.accounts(), &mut violations)?;
    let flows = account.and_then(|account| account.flows());
    if let (Some(account), None) = (account, flows) {
        let problem = format!("{} does not list flow responses", account.provider());
        violations.add("account", ViolationReason::Unsupported, problem);
    }
    let size = paging::page_size(request.page_size, &mut violations);
    let (account, flows) = violations.all((account, flows))?;
    let start = NumberedPageToken::decode(LIST, account.id(), &request.page_token)?;
    let page = api
        .dispatch
        .read(account, "list_flow_responses", deadline, || {
            flows.list_flow_responses(start.provider_page.as_ref())
        })
        .await
        .map_err(|error| status::read_failed(account, &error))?;
    let (flow_responses, next_page_token) = start.slice(LIST, account.id(), page, flow_response, size);
    Ok(v1::ListFlowResponsesResponse { flow_responses, next_page_token })
}

fn flow_response(response: FlowResponse) -> v1::FlowResponse {
    let FlowResponse { flow_id, sender, answers, raw_json, create_time, update_time } = response;
    let (Answers { fields, flow_token }, problem) = match answers {
        Ok(answers) => (answers, ""),
        Err(problem) => (Answers::default(), problem),
    };
    v1::FlowResponse {
        flow_id,
        sender: Some(convert::party(&sender)),
        answers: fields.into_iter().collect(),
        flow_token,
        raw_json,
        create_time: create_time.map(convert::timestamp),
        update_time: update_time.map(convert::timestamp),
        problem: problem.to_owned(),
    }
}

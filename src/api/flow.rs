//! `FlowService`.

use tonic::{Request, Response, Status, async_trait};

use crate::api::error::status;
use crate::api::request::deadline::deadline;
use crate::api::request::paging::NumberedPageToken;
use crate::api::request::violations::{CHECKED, ViolationReason, Violations};
use crate::api::served::v1::flow_service_server::FlowService;
use crate::api::{Api, request::paging, request::parse, response::convert};
use crate::domain::flow::{Answers, FlowResponse};
use crate::pb::v1;

const LIST: &str = "FlowService.ListFlowResponses";

#[async_trait]
impl FlowService for Api {
    async fn list_flow_responses(
        &self,
        request: Request<v1::ListFlowResponsesRequest>,
    ) -> Result<Response<v1::ListFlowResponsesResponse>, Status> {
        let deadline = deadline(request.metadata());
        let request = request.into_inner();
        let mut violations = Violations::default();
        let account = parse::account("account", &request.account, self.dispatch.accounts(), &mut violations)?;
        let flows = account.and_then(|account| account.flows());
        if let (Some(account), None) = (account, flows) {
            let problem = format!("{} does not list flow responses", account.provider());
            violations.add("account", ViolationReason::Unsupported, problem);
        }
        let size = paging::page_size(request.page_size, &mut violations);
        violations.check()?;
        let (Some(account), Some(flows)) = (account, flows) else { unreachable!("{CHECKED}") };
        let start = NumberedPageToken::decode(LIST, account.id(), &request.page_token)?;
        let page = self
            .dispatch
            .read(account, "list_flow_responses", deadline, || {
                flows.list_flow_responses(start.provider_page.as_ref())
            })
            .await
            .map_err(|error| status::read_failed(account, &error))?;
        let (flow_responses, next_page_token) = start.slice(LIST, account.id(), page, flow_response, size);
        Ok(Response::new(v1::ListFlowResponsesResponse { flow_responses, next_page_token }))
    }
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

//! `AccountService`.

use tonic::{Request, Response, Status, async_trait};

use crate::api::request::violations::Violations;
use crate::api::served::v1::account_service_server::AccountService;
use crate::api::{Api, request::page_token, request::paging, request::parse, response::convert};
use crate::pb::v1::{GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListAccountsResponse};

const LIST: &str = "AccountService.ListAccounts";

#[async_trait]
impl AccountService for Api {
    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let size = paging::page_size(request.page_size, &mut violations);
        violations.check()?;
        let offset = page_token::decode(LIST, None, &request.page_token)?;
        let accounts = self.dispatch.accounts().iter().map(|account| convert::account(account)).collect();
        let (accounts, next_page_token) = paging::whole_list(LIST, None, accounts, offset, size);
        Ok(Response::new(ListAccountsResponse { accounts, next_page_token }))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        let mut violations = Violations::default();
        let id = request.into_inner().account;
        let account = parse::account("account", &id, self.dispatch.accounts(), &mut violations)?;
        violations.check()?;
        Ok(Response::new(GetAccountResponse { account: account.map(|account| convert::account(account)) }))
    }
}

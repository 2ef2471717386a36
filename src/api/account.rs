//! `AccountService`.

use tonic::{Request, Response, Status, async_trait};

use crate::api::request::violations::Violations;
use crate::api::served::v1::account_service_server::AccountService;
use crate::api::{Api, request::parse, response::convert};
use crate::pb::v1::{GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListAccountsResponse};

#[async_trait]
impl AccountService for Api {
    async fn list_accounts(
        &self,
        _: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        let accounts = self.dispatch.accounts().iter().map(|account| convert::account(account)).collect();
        Ok(Response::new(ListAccountsResponse { accounts, next_page_token: String::new() }))
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

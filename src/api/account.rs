//! `AccountService`.

use tonic::Status;

use crate::api::call::Call;
use crate::api::request::violations::Violations;
use crate::api::{Api, request::page_token, request::paging, request::parse, response::convert};
use crate::pb::v1::{GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListAccountsResponse};

const LIST: &str = "AccountService.ListAccounts";

/// `AccountService.ListAccounts`.
pub(in crate::api) async fn list_accounts(
    api: &Api,
    call: Call<ListAccountsRequest>,
) -> Result<ListAccountsResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let size = paging::page_size(request.page_size, &mut violations);
    violations.check()?;
    let offset = page_token::decode(LIST, None, &request.page_token)?;
    let accounts = api.dispatch.accounts().iter().map(|account| convert::account(account)).collect();
    let (accounts, next_page_token) = paging::whole_list(LIST, None, accounts, offset, size);
    Ok(ListAccountsResponse { accounts, next_page_token })
}

/// `AccountService.GetAccount`.
pub(in crate::api) async fn get_account(
    api: &Api,
    call: Call<GetAccountRequest>,
) -> Result<GetAccountResponse, Status> {
    let mut violations = Violations::default();
    let id = call.message.account;
    let account = parse::account("account", &id, api.dispatch.accounts(), &mut violations)?;
    violations.check()?;
    Ok(GetAccountResponse { account: account.map(|account| convert::account(account)) })
}

//! Page tokens: which list, and where it continues. Opaque to clients, and never a URL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::api::error::status;
use crate::domain::AccountId;

/// The content of a token: a list and a position in it.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    /// The RPC, such as `ContactService.ListContacts`.
    rpc: String,
    /// The account whose list it is. Absent if the list belongs to no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    position: serde_json::Value,
}

/// Encodes a token.
pub(in crate::api) fn encode(rpc: &str, account: Option<&AccountId>, position: &impl Serialize) -> String {
    let position = serde_json::to_value(position).expect("a position is plain data");
    let token = Token { rpc: rpc.to_owned(), account: account.map(AccountId::to_string), position };
    let mut bytes = serde_json::to_vec(&token).expect("a position is plain data");
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes a token of this list. None for the empty token, which means the first page.
pub(in crate::api) fn decode<T: for<'a> Deserialize<'a>>(
    rpc: &str,
    account: Option<&AccountId>,
    token: &str,
) -> Result<Option<T>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    read(rpc, account, token).map(Some).ok_or_else(status::page_token_malformed)
}

fn read<T: for<'a> Deserialize<'a>>(rpc: &str, account: Option<&AccountId>, token: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (json, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(json).to_be_bytes() != *checksum {
        return None;
    }
    let token: Token = serde_json::from_slice(json).ok()?;
    if token.rpc != rpc || token.account.as_deref() != account.map(AccountId::as_str) {
        return None;
    }
    serde_json::from_value(token.position).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_valid_only_for_its_own_list_and_account() {
        let acme: AccountId = "acme".parse().expect("an id");
        let globex: AccountId = "globex".parse().expect("an id");
        let (acme, globex) = (Some(&acme), Some(&globex));
        let token = encode("A.List", acme, &(2_u32, "x"));
        let read = |rpc, account, token: &str| decode::<(u32, String)>(rpc, account, token);
        assert_eq!(read("A.List", acme, &token).expect("valid"), Some((2, "x".to_owned())));
        let without_account = encode("A.List", None, &(3_u32, "y"));
        assert_eq!(read("A.List", None, &without_account).expect("valid"), Some((3, "y".to_owned())));
        assert_eq!(read("A.List", acme, "").expect("valid"), None);
        for (rpc, account, token) in [
            ("B.List", acme, token.as_str()),
            ("A.List", globex, &token),
            ("A.List", None, &token),
            ("A.List", acme, &without_account),
            ("A.List", acme, &token[1..]),
            ("A.List", acme, "?"),
        ] {
            assert!(read(rpc, account, token).is_err(), "{rpc} {account:?} {token}");
        }
    }
}

//! Who sent a request, for the log.
//!
//! **Invariant.** The log gets addresses and standard method names only, never text that a peer chose.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName, Method};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The maximum number of proxies whose clients are shown: the nearest ones.
const MAX_FORWARDED: usize = 4;

/// The sender of a request.
#[derive(Debug)]
pub(super) struct Peer {
    /// The address of the connection, which may be a proxy's.
    pub(super) address: Option<String>,
    /// The addresses in `X-Forwarded-For`. A peer that is not a proxy can set them to any address.
    pub(super) forwarded_for: Option<String>,
}

impl Peer {
    pub(super) fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let address =
            extensions.get().map(|ConnectInfo(address): &ConnectInfo<SocketAddr>| address.to_string());
        let mut forwarded: Vec<String> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|address| address.trim().parse::<IpAddr>().ok())
            .map(|address| address.to_string())
            .collect();
        let nearest = forwarded.split_off(forwarded.len().saturating_sub(MAX_FORWARDED));
        Self { address, forwarded_for: (!nearest.is_empty()).then(|| nearest.join(", ")) }
    }
}

/// The method's name, or "other" for a method that HTTP does not define.
pub(super) fn standard_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_forwarded_for_are_kept() {
        let mut headers = HeaderMap::new();
        let of = |headers: &HeaderMap| Peer::of(headers, &Extensions::new()).forwarded_for;
        assert_eq!(of(&headers), None);
        headers.append(FORWARDED_FOR, "1.1.1.1, 2.2.2.2,hostile text".parse().expect("valid"));
        headers.append(FORWARDED_FOR, "3.3.3.3, 2001:db8::1, 10.0.0.1".parse().expect("valid"));
        assert_eq!(of(&headers).as_deref(), Some("2.2.2.2, 3.3.3.3, 2001:db8::1, 10.0.0.1"));
    }
}

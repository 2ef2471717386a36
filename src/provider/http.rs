//! A single HTTP exchange, and what its failure proves.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::RETRY_AFTER;
use url::Url;

use super::Error;
use super::json::Object;
use crate::config;
use crate::domain::UnknownReason;

/// The maximum size of a reply. Real replies have a few hundred bytes, and lists have some tens of thousands.
const MAX_REPLY_BYTES: usize = 4 << 20;

/// An HTTP client that sends each request once and follows no redirect.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
}

/// A reply whose status has arrived. Its body may be incomplete.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Result<Bytes, UnknownReason>,
}

impl Reply {
    /// Whether the status is 2xx.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as a JSON object. `None` if it is incomplete or not an object.
    pub(super) fn object(&self) -> Option<Object<'_>> {
        self.body.as_ref().ok().and_then(|body| Object::parse(body))
    }
}

impl Http {
    pub(super) fn new(account: &config::Account) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
            // A duplicate write is the worst failure, so no layer below this one may retry.
            .retry(reqwest::retry::never())
            // A redirect would send our credentials to another host.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(account.connect_timeout)
            .timeout(account.request_timeout)
            .pool_idle_timeout(account.idle_timeout)
            .build()?;
        Ok(Self { client })
    }

    pub(super) fn post(&self, url: Url) -> reqwest::RequestBuilder {
        self.client.post(url)
    }

    pub(super) fn request(&self, method: reqwest::Method, url: Url) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request. A reply with any status is `Ok`.
    pub(super) async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply, Error> {
        let request =
            request.build().map_err(|source| Error::NotSent(Some(Box::new(source.without_url()))))?;
        let mut response = self.client.execute(request).await.map_err(error_without_reply)?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        let mut body = BytesMut::new();
        let body = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > MAX_REPLY_BYTES => {
                    break Err(UnknownReason::ReplyTooLarge);
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break Ok(body.freeze()),
                Err(error) if error.is_timeout() => break Err(UnknownReason::TimedOut),
                Err(_) => break Err(UnknownReason::ReplyCutOff),
            }
        };
        Ok(Reply { status, retry_after, body })
    }
}

/// Appends a path, which may have a query, to a base URL, which may have a path.
pub(super) fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// Classifies a request that got no reply.
///
/// Only two failures prove that nothing was sent. Either no connection was established (name resolution, TCP and TLS),
/// or the HTTP client returned the request because its connection closed before a byte was written. After any other
/// failure, the request may have reached the provider.
fn error_without_reply(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut canceled = false;
    while let Some(inner) = cause {
        canceled |= inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        cause = inner.source();
    }
    if error.is_connect() || error.is_builder() || canceled {
        return Error::NotSent(Some(Box::new(error)));
    }
    let cause = if error.is_timeout() { UnknownReason::TimedOut } else { UnknownReason::ConnectionLost };
    Error::Unknown { cause, fault: None }
}

/// Parses `Retry-After`: seconds or a date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_keeps_the_path_of_its_base() {
        let endpoint = |base: &str, path| endpoint(&Url::parse(base).expect("a URL"), path).to_string();
        assert_eq!(endpoint("https://api.example", "/v1/a"), "https://api.example/v1/a");
        assert_eq!(
            endpoint("https://api.example/proxy/", "/v1/a?id=2"),
            "https://api.example/proxy/v1/a?id=2"
        );
        assert_eq!(endpoint("http://127.0.0.1:80/x", "/a"), "http://127.0.0.1/x/a");
    }

    #[test]
    fn retry_after_accepts_seconds_and_dates() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 0 "), Some(Duration::ZERO));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        assert!(retry_after(&soon).is_some_and(|wait| wait > Duration::from_secs(80)));
        for bad in ["", "-1", "soon", "1.5", "99999999999999"] {
            assert_eq!(retry_after(bad), None, "{bad:?}");
        }
    }
}

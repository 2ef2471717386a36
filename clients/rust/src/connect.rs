//! The connection to a server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::Error;
use crate::v1::account_service_client::AccountServiceClient;
use crate::v1::contact_service_client::ContactServiceClient;
use crate::v1::conversation_service_client::ConversationServiceClient;
use crate::v1::event_service_client::EventServiceClient;
use crate::v1::flow_service_client::FlowServiceClient;
use crate::v1::message_service_client::MessageServiceClient;
use crate::v1::subscription_service_client::SubscriptionServiceClient;
use crate::v1::template_service_client::TemplateServiceClient;
use crate::v1::webhook_registration_service_client::WebhookRegistrationServiceClient;

/// How long a connection with open calls may be silent before the client sends a ping, and how long the server has to
/// answer it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server sees in the header `user-agent`, before the name of the transport.
const USER_AGENT: &str = concat!("switchboard-client/", env!("CARGO_PKG_VERSION"));

/// The options of a [`Client`]. [`Client::builder`] makes one.
#[derive(Clone, Debug)]
pub struct Builder {
    address: String,
    tls: Option<ClientTlsConfig>,
    token: Option<Token>,
    max_attempts: u32,
    timeout: Option<Duration>,
}

/// A client of one Switchboard server.
///
/// A clone is cheap and shares the connection. One client is enough for a program.
#[derive(Clone, Debug)]
pub struct Client {
    service: Service,
    /// Opens the separate connections of event streams.
    endpoint: Endpoint,
    auth: Auth,
    pub(crate) max_attempts: u32,
    pub(crate) timeout: Option<Duration>,
}

/// The transport of the generated clients: a channel that adds the token to each call.
pub type Service = InterceptedService<Channel, Auth>;

/// A token without the `Bearer` prefix.
#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Adds the token, if there is one, to each call.
#[derive(Clone, Default)]
pub struct Auth(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Auth(…)" } else { "Auth(none)" })
    }
}

impl Interceptor for Auth {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl Builder {
    /// Sets the TLS configuration, for example to trust a private certificate authority.
    ///
    /// By default, the client trusts the certificate authorities of the operating system, or those in the file that the
    /// environment variable `SSL_CERT_FILE` names. With this option, an address without a scheme means `https`, also on
    /// loopback.
    #[must_use]
    pub fn tls(mut self, tls: ClientTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends `authorization: Bearer <token>` with each call.
    ///
    /// The client never sends a token in plaintext beyond loopback.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// Sets how often a call is attempted at most, including the first attempt. By default only time limits the attempts:
    /// the [`timeout`](Self::timeout), or 60 seconds without one. 0 means 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Sets how long a call may take, including all attempts. By default the client sets no limit, and
    /// retries for 60 seconds; the server has its own limit.
    ///
    /// This applies to [`Client::call`], to uploads, and to all steps of [`Client::ensure_subscription`] together. It does not
    /// apply to the generated clients or to event streams.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// Returns INVALID_ARGUMENT if the address or the token is malformed, or if the token would be sent in plaintext beyond
    /// loopback. Returns UNAVAILABLE if the connection fails.
    pub async fn connect(self) -> Result<Client, Error> {
        let (endpoint, auth) = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(unavailable)?;
        Ok(self.client(channel, endpoint, auth))
    }

    /// Makes a client that connects when the first call needs a connection.
    ///
    /// Call it within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns INVALID_ARGUMENT as [`connect`](Self::connect) does.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let (endpoint, auth) = self.endpoint()?;
        let channel = endpoint.connect_lazy();
        Ok(self.client(channel, endpoint, auth))
    }

    fn client(self, channel: Channel, endpoint: Endpoint, auth: Auth) -> Client {
        let service = InterceptedService::new(channel, auth.clone());
        Client { service, endpoint, auth, max_attempts: self.max_attempts, timeout: self.timeout }
    }

    fn endpoint(&self) -> Result<(Endpoint, Auth), Error> {
        let (scheme, authority) = parse_address(&self.address, self.tls.is_some())?;
        let is_secure = scheme == Scheme::HTTPS;
        if self.tls.is_some() && !is_secure {
            return Err(Error::invalid("an http address has no TLS: use an https address"));
        }
        let auth = match &self.token {
            None => Auth::default(),
            Some(_) if !is_secure && !is_loopback(&authority) => {
                return Err(Error::invalid(
                    "a token is not sent in plaintext beyond loopback: use an https address",
                ));
            }
            Some(Token(token)) => {
                let is_valid = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
                let value = is_valid.then(|| format!("Bearer {token}").parse::<MetadataValue<Ascii>>().ok());
                let mut value = value.flatten().ok_or_else(|| {
                    Error::invalid("the token must be printable ASCII without blanks, and not empty")
                })?;
                value.set_sensitive(true);
                Auth(Some(value))
            }
        };
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        let uri = uri.map_err(|_| Error::invalid(MALFORMED_ADDRESS))?;
        let mut endpoint = Endpoint::from(uri)
            .user_agent(USER_AGENT)
            .expect("a header value")
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        if is_secure {
            let tls = self.tls.clone().unwrap_or_else(|| ClientTlsConfig::new().with_enabled_roots());
            endpoint = endpoint.tls_config(tls).map_err(|error| {
                with_source(Status::invalid_argument("the TLS configuration is not usable"), error)
            })?;
        }
        Ok((endpoint, auth))
    }
}

fn unavailable(error: tonic::transport::Error) -> Error {
    with_source(Status::unavailable("the connection failed"), error)
}

fn with_source(mut status: Status, source: tonic::transport::Error) -> Error {
    status.set_source(Arc::new(source));
    status.into()
}

const MALFORMED_ADDRESS: &str = "the address must be `host:port` or an http or https URL";

/// Splits an address into its scheme and its authority.
///
/// An address without a scheme means plaintext on loopback and TLS elsewhere, as in the other client libraries. If the
/// program configured TLS (`has_tls`), it means TLS on loopback too. Errors do not repeat the address, because it may contain
/// a password.
fn parse_address(address: &str, has_tls: bool) -> Result<(Scheme, Authority), Error> {
    let malformed = || Error::invalid(MALFORMED_ADDRESS);
    let (scheme, authority) = if address.contains("://") {
        let parts = address.parse::<Uri>().map_err(|_| malformed())?.into_parts();
        if parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str) != "/" {
            return Err(Error::invalid("the address must not have a path or a query"));
        }
        (parts.scheme, parts.authority.ok_or_else(malformed)?)
    } else {
        (None, address.parse::<Authority>().map_err(|_| malformed())?)
    };
    if authority.as_str().contains('@') {
        return Err(Error::invalid("the address must not have a user or a password"));
    }
    // `port` also returns None for a port that is not a number of 16 bits.
    let port = authority.as_str().strip_prefix(authority.host());
    if authority.host().is_empty() || (port != Some("") && authority.port().is_none()) {
        return Err(malformed());
    }
    let scheme = match scheme {
        Some(scheme) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => scheme,
        Some(_) => return Err(malformed()),
        None if is_loopback(&authority) && !has_tls => Scheme::HTTP,
        None => Scheme::HTTPS,
    };
    Ok((scheme, authority))
}

/// Whether the host is loopback by its name, without a lookup.
fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl Client {
    /// Starts to build a client of the server at `address`.
    ///
    /// The address is `host:port`, or an `http` or `https` URL without a path. Without a scheme, a loopback address
    /// (`localhost`, `127.0.0.0/8`, `::1`) means plaintext, and any other address means TLS. Without a port, the port is 80
    /// for plaintext and 443 for TLS.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder { address: address.into(), tls: None, token: None, max_attempts: u32::MAX, timeout: None }
    }

    /// Connects to the server at `address` with the default options. [`builder`](Self::builder) describes addresses.
    ///
    /// # Errors
    ///
    /// Fails as [`Builder::connect`] does.
    pub async fn connect(address: impl Into<String>) -> Result<Self, Error> {
        Self::builder(address).connect().await
    }

    /// The transport of the generated clients, for services outside `switchboard.v1`, such as `grpc.health.v1`.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// The generated client of `AccountService`.
    pub fn accounts(&self) -> AccountServiceClient<Service> {
        AccountServiceClient::new(self.service())
    }

    /// The generated client of `ContactService`.
    pub fn contacts(&self) -> ContactServiceClient<Service> {
        ContactServiceClient::new(self.service())
    }

    /// The generated client of `ConversationService`.
    pub fn conversations(&self) -> ConversationServiceClient<Service> {
        ConversationServiceClient::new(self.service())
    }

    /// The generated client of `EventService`.
    pub fn events(&self) -> EventServiceClient<Service> {
        EventServiceClient::new(self.service())
    }

    /// The generated client of `FlowService`.
    pub fn flows(&self) -> FlowServiceClient<Service> {
        FlowServiceClient::new(self.service())
    }

    /// The generated client of `MessageService`.
    pub fn messages(&self) -> MessageServiceClient<Service> {
        MessageServiceClient::new(self.service())
    }

    /// The generated client of `SubscriptionService`.
    pub fn subscriptions(&self) -> SubscriptionServiceClient<Service> {
        SubscriptionServiceClient::new(self.service())
    }

    /// The generated client of `TemplateService`.
    pub fn templates(&self) -> TemplateServiceClient<Service> {
        TemplateServiceClient::new(self.service())
    }

    /// The generated client of `WebhookRegistrationService`.
    pub fn webhook_registrations(&self) -> WebhookRegistrationServiceClient<Service> {
        WebhookRegistrationServiceClient::new(self.service())
    }

    /// A separate connection to the same server. It connects when a call needs it.
    pub(crate) fn separate_connection(&self) -> Service {
        InterceptedService::new(self.endpoint.connect_lazy(), self.auth.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn token_is_refused_in_plaintext_beyond_loopback() {
        for (address, is_accepted) in [
            ("https://switchboard.example.com", true),
            ("switchboard.example.com", true),
            ("switchboard.example.com:50051", true),
            ("http://127.0.0.1:50051", true),
            ("http://127.8.9.10:50051", true),
            ("http://[::1]:50051", true),
            ("http://localhost:50051", true),
            ("127.0.0.1:50051", true),
            ("localhost", true),
            ("http://switchboard.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1:50051", false),
            ("http://127.0.0.1.example.com", false),
        ] {
            let client = Client::builder(address).token("t0ken").connect_lazy();
            assert_eq!(client.is_ok(), is_accepted, "{address}");
            assert!(!format!("{client:?}").contains("t0ken"));
            assert!(Client::builder(address).connect_lazy().is_ok(), "without a token");
        }
        assert!(!format!("{:?}", Client::builder("localhost").token("t0ken")).contains("t0ken"));
    }

    #[test]
    fn address_without_scheme_is_plaintext_on_loopback_only() {
        for (address, scheme) in [
            ("127.0.0.1:50051", "http"),
            ("127.9.9.9:50051", "http"),
            ("[::1]:50051", "http"),
            ("[::ffff:127.0.0.1]:50051", "http"),
            ("localhost:50051", "http"),
            ("LOCALHOST", "http"),
            ("switchboard.example.com:50051", "https"),
            ("switchboard.example.com", "https"),
            ("localhost.example.com:1", "https"),
            ("10.0.0.1:50051", "https"),
            ("[::2]:50051", "https"),
            // An explicit scheme is kept.
            ("https://127.0.0.1:50051", "https"),
            ("http://switchboard.example.com", "http"),
            ("http://localhost:50051/", "http"),
        ] {
            let (parsed, _) = parse_address(address, false).expect(address);
            assert_eq!(parsed.as_str(), scheme, "{address}");
        }
        let (scheme, _) = parse_address("127.0.0.1:50051", true).expect("an address");
        assert_eq!(scheme, Scheme::HTTPS, "the program configured TLS");
    }

    #[tokio::test]
    async fn malformed_address_or_token_is_refused() {
        for address in [
            "",
            ":50051",
            "::1",
            "localhost:",
            "localhost:99999",
            "localhost:50051/path",
            "ftp://localhost",
            "http://",
            "http://localhost/path",
            "http://localhost?query",
            "https://user:s3cret@localhost",
        ] {
            let failed = Client::builder(address).connect_lazy().expect_err(address);
            assert_eq!(failed.code(), tonic::Code::InvalidArgument, "{address}");
            assert!(!failed.to_string().contains("s3cret"));
        }
        for token in ["", "a\nb", "a b", "ä"] {
            let failed = Client::builder("http://localhost:1").token(token).connect_lazy();
            assert!(failed.is_err(), "{token:?}");
        }
        let tls_over_http = Client::builder("http://localhost:1").tls(ClientTlsConfig::new()).connect_lazy();
        assert!(tls_over_http.is_err());
    }
}

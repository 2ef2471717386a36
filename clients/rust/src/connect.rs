//! A connection to a gateway.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::Error;
use crate::pb::v1::account_service_client::AccountServiceClient;
use crate::pb::v1::contact_service_client::ContactServiceClient;
use crate::pb::v1::event_service_client::EventServiceClient;
use crate::pb::v1::flow_service_client::FlowServiceClient;
use crate::pb::v1::message_service_client::MessageServiceClient;
use crate::pb::v1::template_service_client::TemplateServiceClient;
use crate::pb::v1::webhook_service_client::WebhookServiceClient;

/// How long a connection with calls on it may be silent before it is asked whether it is there, and then to answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct Builder {
    address: String,
    tls: Option<ClientTlsConfig>,
    token: Option<String>,
    attempts: u32,
    timeout: Option<Duration>,
}

/// A gateway that can be called. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct Client {
    service: Service,
    /// For what wants a connection of its own.
    endpoint: Endpoint,
    token: Token,
    pub(super) attempts: u32,
    pub(super) timeout: Option<Duration>,
}

/// What the generated clients call through: a channel that adds the token.
pub type Service = InterceptedService<Channel, Token>;

/// Adds the token to every call, if there is one.
#[derive(Clone, Default)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Token(…)" } else { "Token(none)" })
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Builder {
    /// How TLS is spoken, for an `https` address. By default the authorities are trusted that this machine trusts, or those
    /// in the file that the environment's `SSL_CERT_FILE` names. Give the authority's certificate where the gateway's is
    /// from another one.
    #[must_use]
    pub fn tls(mut self, tls: ClientTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A token that goes with every call, as `authorization: Bearer …`. Never in plaintext beyond this machine.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How often a call is tried at most, the first time included: 1 and more. By default 4.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long a call may take, all its tries together. By default there is no limit here; the gateway has its own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the connection.
    ///
    /// # Errors
    ///
    /// When the address is none, a token would travel in plaintext beyond this machine, or nobody answers.
    pub async fn connect(self) -> Result<Client, Error> {
        let (endpoint, token) = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(unavailable)?;
        Ok(self.client(channel, endpoint, token))
    }

    /// Makes the connection when it is first needed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), but for a gateway that does not answer yet.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let (endpoint, token) = self.endpoint()?;
        let channel = endpoint.connect_lazy();
        Ok(self.client(channel, endpoint, token))
    }

    fn client(self, channel: Channel, endpoint: Endpoint, token: Token) -> Client {
        let service = InterceptedService::new(channel, token.clone());
        Client { service, endpoint, token, attempts: self.attempts, timeout: self.timeout }
    }

    fn endpoint(&self) -> Result<(Endpoint, Token), Error> {
        let uri: Uri = self.address.parse().map_err(|_| Error::of_caller("the address is no URI"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::of_caller("the address must begin with http:// or https://")),
        };
        let token = match &self.token {
            None => Token::default(),
            Some(_) if !secure && !is_loopback(&uri) => {
                return Err(Error::of_caller("a token must not travel in plaintext: use https"));
            }
            Some(token) => {
                let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
                    .parse()
                    .map_err(|_| Error::of_caller("the token must be printable ASCII"))?;
                value.set_sensitive(true);
                Token(Some(value))
            }
        };
        let mut endpoint = Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        if secure {
            let tls = self.tls.clone().unwrap_or_else(|| ClientTlsConfig::new().with_enabled_roots());
            endpoint = endpoint.tls_config(tls).map_err(|error| {
                caused(Status::invalid_argument("the TLS configuration cannot be used"), error)
            })?;
        }
        Ok((endpoint, token))
    }
}

fn unavailable(error: tonic::transport::Error) -> Error {
    caused(Status::unavailable("no connection came about"), error)
}

fn caused(mut status: Status, by: tonic::transport::Error) -> Error {
    status.set_source(Arc::new(by));
    status.into()
}

/// Whether the address can only be this machine.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Client {
    /// A connection to be made to that address: `https://switchboard.example.com`, or in plaintext
    /// `http://127.0.0.1:50051`.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder { address: address.into(), tls: None, token: None, attempts: 4, timeout: None }
    }

    /// Connects to that address, with all as it is by default.
    ///
    /// # Errors
    ///
    /// As [`Builder::connect`].
    pub async fn connect(address: impl Into<String>) -> Result<Self, Error> {
        Self::builder(address).connect().await
    }

    /// What generated clients call through, for services that are not of `switchboard.v1`.
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

    /// The generated client of `TemplateService`.
    pub fn templates(&self) -> TemplateServiceClient<Service> {
        TemplateServiceClient::new(self.service())
    }

    /// The generated client of `WebhookService`.
    pub fn webhooks(&self) -> WebhookServiceClient<Service> {
        WebhookServiceClient::new(self.service())
    }

    /// A connection of its own, made when it is first needed.
    pub(super) fn apart(&self) -> Service {
        InterceptedService::new(self.endpoint.connect_lazy(), self.token.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_never_travels_in_plaintext_beyond_this_machine() {
        for (address, good) in [
            ("https://switchboard.example.com", true),
            ("http://127.0.0.1:50051", true),
            ("http://127.8.9.10:50051", true),
            ("http://[::1]:50051", true),
            ("http://localhost:50051", true),
            ("http://switchboard.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1:50051", false),
            ("http://127.0.0.1.example.com", false),
        ] {
            let client = Client::builder(address).token("t0ken").connect_lazy();
            assert_eq!(client.is_ok(), good, "{address}");
            assert!(!format!("{client:?}").contains("t0ken"));
            assert!(Client::builder(address).connect_lazy().is_ok(), "without a token");
        }
    }

    #[tokio::test]
    async fn what_is_no_address_or_no_token_is_said() {
        for address in ["", "localhost:50051", "ftp://localhost", "http://"] {
            assert!(Client::builder(address).connect_lazy().is_err(), "{address:?}");
        }
        assert!(Client::builder("http://localhost:1").token("a\nb").connect_lazy().is_err());
    }
}

//! `switchboard sandbox`: the gateway in front of both simulated providers.

use std::path::Path;

use crate::app::{self, Addresses, Listeners};
use crate::config::{Config, ConfigErrors, Source};
use crate::sandbox::{Options, Sandbox, connectly};

/// The started parts of the sandbox, which [`app::serve`] needs.
#[derive(Debug)]
pub struct Demo {
    /// Two accounts, `demo-connectby` and `demo-connectly`.
    pub config: Config,
    /// Already bound, because the simulated Connectly needs the webhook address.
    pub listeners: Listeners,
    /// The simulated providers.
    pub sandbox: Sandbox,
}

/// Why the sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment variable has an error.
    #[error("an environment variable overrides the sandbox's configuration with a wrong value")]
    Config(#[from] ConfigErrors),
    /// The address of a listener is in use.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The simulated providers do not start.
    #[error("cannot start the simulated providers")]
    Sandbox(#[from] std::io::Error),
}

/// Starts the simulated providers and creates a configuration for them. Environment variables can override it like any
/// configuration: `SWITCHBOARD__GRPC__LISTEN=127.0.0.1:50052`.
///
/// # Errors
///
/// If the address of a listener is in use, a variable has an error, or the providers cannot start.
pub async fn start(store: &Path, options: Options, source: &dyn Source) -> Result<Demo, Error> {
    // The providers need the webhook listener's address, and the accounts need the providers' addresses. The
    // configuration is therefore read twice: for the listeners, and again after the providers have started.
    let placeholder = "http://127.0.0.1:1";
    let config = configuration(store, placeholder, placeholder, &options, source)?;
    let listeners = Listeners::bind(&config)?;
    let webhook = listeners.addresses()?.webhook;
    let webhook_url = format!("http://{webhook}/webhooks/demo-connectly");
    let options = Options {
        connectly: connectly::Options {
            webhook_url: Some(webhook_url.parse().expect("a socket address is valid in a URL")),
            ..options.connectly
        },
        ..options
    };
    let sandbox = Sandbox::start(options.clone()).await?;
    let (connectby, connectly) = (sandbox.connectby().base_url(), sandbox.connectly().base_url());
    let config = configuration(store, connectby.as_str(), connectly.as_str(), &options, source)?;
    Ok(Demo { config, listeners, sandbox })
}

fn configuration(
    store: &Path,
    connectby: &str,
    connectly: &str,
    options: &Options,
    source: &dyn Source,
) -> Result<Config, ConfigErrors> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let text = format!(
        "[journal]\npath = {store}\n\
         [shutdown]\ndelay = \"0s\"\n\
         [[accounts]]\nid = \"demo-connectby\"\nprovider = \"connectby\"\nbase_url = {connectby}\n\
         secret_key = {secret_key}\n\
         [[accounts]]\nid = \"demo-connectly\"\nprovider = \"connectly\"\nbase_url = {connectly}\n\
         business_id = {business_id}\napi_key = {api_key}\nwebhook_secrets = [{webhook_secret}]\n\
         numbers = [{number}]\n",
        store = quoted(&store.to_string_lossy()),
        connectby = quoted(connectby),
        connectly = quoted(connectly),
        secret_key = quoted(&options.connectby.secret_key),
        business_id = quoted(&options.connectly.business_id),
        api_key = quoted(&options.connectly.api_key),
        webhook_secret = quoted(&options.connectly.webhook_secret),
        number = quoted(&options.connectly.business_number),
    );
    Config::parse(&text, source)
}

/// The text that the sandbox prints after its start: its addresses, and the first commands to try.
pub fn welcome(at: Addresses) -> String {
    let Addresses { grpc, webhook, admin } = at;
    format!(
        r#"The Switchboard sandbox is running. Both providers are simulated on this machine.

  gRPC      {grpc}
  webhooks  http://{webhook}/webhooks/demo-connectly
  admin     http://{admin}/metrics

Subscribe in one terminal:

  grpcurl -plaintext -d '{{"position": "START_POSITION_EARLIEST"}}' \
    {grpc} switchboard.v1.EventService/Subscribe

Send a message in another terminal:

  grpcurl -plaintext -d '{{"account": "demo-connectly", "to": "+15550100001", "text": {{"body": "Hello!"}}}}' \
    {grpc} switchboard.v1.MessageService/SendMessage

The first terminal shows the message's statuses and then the customer's reply. Ctrl-C stops the sandbox."#
    )
}

//! `switchboard sandbox`: the gateway in front of both imitated providers.

use std::path::Path;

use crate::app::{self, Addresses, Listeners};
use crate::config::{Config, ConfigErrors, Source};
use crate::sandbox::{Options, Sandbox, connectly};

/// Everything that `App::build` needs.
#[derive(Debug)]
pub struct Demo {
    /// Two accounts, `demo-connectby` and `demo-connectly`.
    pub config: Config,
    /// Bound already, for the imitated Connectly must know where webhooks go.
    pub listeners: Listeners,
    /// The imitated providers.
    pub sandbox: Sandbox,
}

/// Why the demo does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment variable is wrong.
    #[error("the environment overrides the configuration wrongly")]
    Config(#[from] ConfigErrors),
    /// A listener is taken.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The imitated providers do not start.
    #[error("cannot start the imitated providers")]
    Sandbox(#[from] std::io::Error),
}

/// Starts the imitated providers and writes a configuration for them. Environment variables may override it, as they
/// may any configuration: `SWITCHBOARD__GRPC__LISTEN=127.0.0.1:50052`.
///
/// # Errors
///
/// When a listener is taken or a variable is wrong.
pub async fn start(store: &Path, options: Options, source: &dyn Source) -> Result<Demo, Error> {
    // The providers need the webhook's address, and the accounts need the providers': so the configuration is read
    // once for the listeners, and once more when the providers stand.
    let nowhere = "http://127.0.0.1:1";
    let config = configuration(store, nowhere, nowhere, &options, source)?;
    let listeners = Listeners::bind(&config)?;
    let webhook = listeners.addresses()?.webhook;
    let webhook_url = format!("http://{webhook}/webhooks/demo-connectly");
    let options = Options {
        connectly: connectly::Options {
            webhook_url: Some(webhook_url.parse().expect("an address makes a URL")),
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

/// What the sandbox prints when it is up: what to type next.
pub fn welcome(at: Addresses) -> String {
    let Addresses { grpc, webhook, admin } = at;
    format!(
        r#"Switchboard's sandbox is up: both providers are imitated on this machine.

  gRPC      {grpc}
  webhooks  http://{webhook}/webhooks/demo-connectly
  admin     http://{admin}/metrics

Listen, in one terminal:

  grpcurl -plaintext -d '{{"position": "START_POSITION_EARLIEST"}}' \
    {grpc} switchboard.v1.EventService/Subscribe

Send, in another:

  grpcurl -plaintext -d '{{"account": "demo-connectly", "to": "+15550100001", "text": {{"body": "Hello!"}}}}' \
    {grpc} switchboard.v1.MessageService/SendMessage

The message's statuses arrive on the first terminal, then the customer's answer. Ctrl-C stops the sandbox."#
    )
}

//! The fake Connectly API in front of which the binary runs. It accepts the credentials of [`Home`](super::binary::Home).

use switchboard::sandbox::{Options, Sandbox};

use super::binary::{API_KEY, BUSINESS_ID, SECRET};

/// Accepts sends without delay. Sends no status webhooks and no customer replies.
pub(crate) fn options() -> Options {
    let mut options = Options::instant();
    options.connectly.auto_reply = false;
    options.connectly.auto_status = false;
    options.connectly.api_key = API_KEY.to_owned();
    options.connectly.business_id = BUSINESS_ID.to_owned();
    options.connectly.webhook_secret = SECRET.to_owned();
    options
}

/// Starts it with [`options`].
pub(crate) async fn start() -> Sandbox {
    Sandbox::start(options()).await.expect("starts")
}

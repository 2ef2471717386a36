//! Sends a text message.

use std::env;

use switchboard_client::v1::{SendMessageRequest, Text, send_message_request::Content};
use switchboard_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(address).await?;
    let sent = client
        .call(SendMessageRequest {
            account: "demo-connectly".to_owned(),
            to: "+15550100001".to_owned(),
            content: Some(Content::Text(Text { body: "Hello!".to_owned() })),
            ..SendMessageRequest::default()
        })
        .await?;
    if let Some(message) = sent.message {
        println!("{}: {}", message.message_id, message.state().as_str_name());
    }
    Ok(())
}

//! Sends a template with a picture in its header. A customer who has not written within 24 hours can only receive
//! templates.

use std::env;

use switchboard_client::v1::{
    HeaderMedia, Parameter, SendMessageRequest, TemplateButton, TemplateHeader, TemplateMessage,
    header_media, parameter, send_message_request::Content, template_button, template_header,
};
use switchboard_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(address).await?;
    let url = "https://example.com/dummy-image.jpg".to_owned();
    let picture = HeaderMedia { source: Some(header_media::Source::Url(url)), ..HeaderMedia::default() };
    let template = TemplateMessage {
        name: "summer_sale".to_owned(),
        language: "en_US".to_owned(),
        header: Some(TemplateHeader { header: Some(template_header::Header::Image(picture)) }),
        body: vec![Parameter {
            value: Some(parameter::Value::Text("Asha".to_owned())),
            ..Parameter::default()
        }],
        buttons: vec![TemplateButton {
            index: 1,
            value: Some(template_button::Value::UrlSuffix("summer".to_owned())),
        }],
        ..TemplateMessage::default()
    };
    let sent = client
        .call(SendMessageRequest {
            account: "demo-connectby".to_owned(),
            to: "+15550100001".to_owned(),
            content: Some(Content::Template(template)),
            ..SendMessageRequest::default()
        })
        .await?;
    if let Some(message) = sent.message {
        println!("{}: {}", message.message_id, message.state().as_str_name());
    }
    Ok(())
}

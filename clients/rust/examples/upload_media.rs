//! Sends a file, and uploads a picture for a template's header.

use std::env;

use switchboard::client::{Client, Error};
use switchboard::pb::v1::{MediaHeader, UploadTemplateMediaHeader};

/// A picture of one black point.
const BLACK_POINT: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(format!("http://{address}")).await?;

    let header = MediaHeader {
        account: "demo-connectby".to_owned(),
        to: "+15550100001".to_owned(),
        file_name: "list.txt".to_owned(),
        ..MediaHeader::default()
    };
    let sent = client.send_media(header, "Lemons\nLimes\n").await?;
    println!("sent: {}", sent.message.map(|message| message.message_id).unwrap_or_default());

    let header = UploadTemplateMediaHeader {
        account: "demo-connectby".to_owned(),
        ..UploadTemplateMediaHeader::default()
    };
    let uploaded = client.upload_template_media(header, BLACK_POINT).await?;
    println!("uploaded: {}", uploaded.url);
    Ok(())
}

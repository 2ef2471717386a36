//! Sends a file, and uploads a picture for the header of a template.

use std::env;
use std::path::PathBuf;

use switchboard_client::v1::{MediaHeader, UploadTemplateMediaHeader};
use switchboard_client::{Client, Error, UploadSource};

/// A picture of one black pixel.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::var("SWITCHBOARD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(address).await?;

    // The file to send, or a short list.
    let path = env::args_os().nth(1).map(PathBuf::from);
    let file_name =
        path.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let source = path.map_or_else(|| UploadSource::from("Lemons\nLimes\n"), UploadSource::path);
    let header = MediaHeader {
        account: "demo-connectby".to_owned(),
        to: "+15550100001".to_owned(),
        file_name: file_name.unwrap_or_else(|| "list.txt".to_owned()),
        ..MediaHeader::default()
    };
    let sent = client.send_media(header, source).await?;
    println!("sent: {}", sent.message.map(|message| message.message_id).unwrap_or_default());

    let header = UploadTemplateMediaHeader {
        account: "demo-connectby".to_owned(),
        ..UploadTemplateMediaHeader::default()
    };
    let uploaded = client.upload_template_media(header, PICTURE).await?;
    println!("uploaded: {}", uploaded.url);
    Ok(())
}

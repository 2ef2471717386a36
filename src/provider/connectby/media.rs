//! Uploads to ConnectBy: one multipart request per file, with a length that is known before the request starts.
//!
//! The length prevents the provider from accepting a partial file as complete. If the body ends early, it does not
//! match its `content-length`.

use async_trait::async_trait;
use reqwest::Body;
use reqwest::multipart::{Form, Part};

use super::super::http::Reply;
use super::super::{AcceptedMessage, Error, Upload, Uploads};
use super::{Client, Confirmation, phone_number};
use crate::domain::Address;

#[async_trait]
impl Uploads for Client {
    async fn send_media(&self, to: &Address, file: Upload) -> Result<AcceptedMessage, Error> {
        let to = phone_number(to).map_err(Error::Refused)?;
        let form = Form::new().text("to_number", to.digits().to_owned()).part("file", part(file));
        let route = &self.routes.send_media;
        let reply =
            self.exchange(route, |request| request.multipart(form).timeout(self.upload_timeout)).await?;
        self.accepted(&reply).map_err(|error| error.at_route("send_media", route))
    }

    async fn upload_template_media(&self, file: Upload) -> Result<String, Error> {
        let form = Form::new().part("file", part(file));
        let route = &self.routes.upload_template_media;
        let reply =
            self.exchange(route, |request| request.multipart(form).timeout(self.upload_timeout)).await?;
        self.uploaded(&reply).map_err(|error| error.at_route("upload_template_media", route))
    }
}

impl Client {
    /// Finds the provider's confirmation in a reply to an upload: a 2xx with `success` and a `fileUrl`.
    fn uploaded(&self, reply: &Reply) -> Result<String, Error> {
        self.confirmed(reply, |object| {
            match (object.flag(&["success"]), object.string(&["fileUrl", "file_url"])) {
                (Some(true), Some(url)) => Confirmation::Id(url),
                _ => Confirmation::None,
            }
        })
    }
}

fn part(file: Upload) -> Part {
    Part::stream_with_length(Body::wrap_stream((file.content)()), file.length)
        .file_name(file.name)
        .mime_str(file.media_type.mime())
        .expect("the MIME types of `MediaType` are well-formed")
}

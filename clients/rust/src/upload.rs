//! Files.

use bytes::Bytes;
use futures_util::stream;

use super::call::{Tries, identified};
use super::{Client, Error};
use crate::pb::v1::{
    MediaHeader, SendMediaRequest, SendMediaResponse, UploadTemplateMediaHeader, UploadTemplateMediaRequest,
    UploadTemplateMediaResponse,
};

/// How much of a file goes in one message.
const CHUNK: usize = 1 << 20;

impl Client {
    /// Uploads a file and sends it. The file is at hand, so this is tried again as [`call`](Self::call) does.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn send_media(
        &self,
        mut header: MediaHeader,
        file: impl Into<Bytes>,
    ) -> Result<SendMediaResponse, Error> {
        let file = file.into();
        let mut tries = Tries::new(self, true, identified(Some(&mut header.request_id)));
        loop {
            let first = |header, chunk| SendMediaRequest { header, chunk };
            let messages = messages(header.clone(), &file, first);
            let request = tries.request(stream::iter(messages));
            match tries.within(self.messages().send_media(request)).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => tries.after(status).await?,
            }
        }
    }

    /// Uploads a file for templates, and is tried again as [`send_media`](Self::send_media) is.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn upload_template_media(
        &self,
        mut header: UploadTemplateMediaHeader,
        file: impl Into<Bytes>,
    ) -> Result<UploadTemplateMediaResponse, Error> {
        let file = file.into();
        let mut tries = Tries::new(self, true, identified(Some(&mut header.request_id)));
        loop {
            let first = |header, chunk| UploadTemplateMediaRequest { header, chunk };
            let messages = messages(header.clone(), &file, first);
            let request = tries.request(stream::iter(messages));
            match tries.within(self.templates().upload_template_media(request)).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => tries.after(status).await?,
            }
        }
    }
}

/// A file in pieces, the header before the first.
fn messages<H, M>(header: H, file: &Bytes, message: impl Fn(Option<H>, Bytes) -> M) -> Vec<M> {
    let mut rest = file.clone();
    let mut header = Some(header);
    let mut messages = Vec::new();
    while header.is_some() || !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        messages.push(message(header.take(), chunk));
    }
    messages
}

//! `TemplateService`.

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::served::v1::template_service_server::TemplateService;
use super::{Api, media};
use crate::pb::v1::{
    GetTemplateRequest, GetTemplateResponse, ListTemplatesRequest, ListTemplatesResponse,
    UploadTemplateMediaRequest, UploadTemplateMediaResponse,
};

#[async_trait]
impl TemplateService for Api {
    async fn list_templates(
        &self,
        _: Request<ListTemplatesRequest>,
    ) -> Result<Response<ListTemplatesResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn get_template(
        &self,
        _: Request<GetTemplateRequest>,
    ) -> Result<Response<GetTemplateResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn upload_template_media(
        &self,
        request: Request<Streaming<UploadTemplateMediaRequest>>,
    ) -> Result<Response<UploadTemplateMediaResponse>, Status> {
        media::upload_template_media(self, request).await
    }
}

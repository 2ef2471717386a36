//! gRPC-Web: browser pages of the origins that the operator lists can call the same services.
//!
//! CORS alone is not enough. A browser applies it only to pages of another origin, and the owner of a page can point
//! the page's host name at this server (DNS rebinding). So this module rejects every request whose `Origin` is not
//! listed. Clients other than browsers send no `Origin` and are not affected.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may cache a preflight response: the longest time that any browser accepts.
const MAX_AGE: Duration = Duration::from_secs(7_200);

/// The headers that gRPC-Web clients send.
const REQUEST_HEADERS: [HeaderName; 5] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];

/// The headers that pages must be able to read. A call that fails at once has its status in them.
const EXPOSED_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// Serves these routes to pages of the listed origins too.
pub fn with_grpc_web(routes: Routes, origins: &[HeaderValue]) -> Routes {
    let allowed_origins: Vec<HeaderValue> = origins.to_vec();
    let check_origin = from_fn(move |request: Request, next: Next| {
        // With two headers, other software could read the other one.
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let is_allowed =
            origins.next().is_none_or(|origin| allowed_origins.contains(origin)) && origins.next().is_none();
        async move { if is_allowed { next.run(request).await } else { forbidden() } }
    });
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::POST])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(EXPOSED_HEADERS)
        .max_age(MAX_AGE);
    // The last layer is the outermost.
    routes.into_axum_router().layer(GrpcWebLayer::new()).layer(cors).layer(check_origin).into()
}

fn forbidden() -> Response {
    StatusCode::FORBIDDEN.into_response()
}

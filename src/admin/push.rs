//! `POST /push/SECRET`: pushes of calendar servers. The address is the secret, so that no token is needed.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post;

use super::response::{json, refused};
use crate::clock::Clock;
use crate::push::{PushError, PushReceiver};

/// Octets of the body of a push. It is not read; RFC 8030 has pushes of 4,096 octets.
const MAX_BODY: usize = 16 * 1024;

/// The route at which `receiver` gets pushes, as of the time that `clock` tells.
pub fn push_routes(receiver: PushReceiver, clock: Clock) -> Router {
    Router::new().route("/push/{secret}", post(push)).with_state((receiver, clock))
}

async fn push(
    State((receiver, clock)): State<(PushReceiver, Clock)>,
    Path(secret): Path<String>,
    request: Request,
) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let received = receiver.receive(&secret, authorization, clock.now());
    if let Err(why) = received {
        let status = match why {
            // The server forgets the subscription (RFC 8030, 7.3).
            PushError::Gone => StatusCode::NOT_FOUND,
            PushError::Unsigned => StatusCode::UNAUTHORIZED,
            PushError::WrongSignature => StatusCode::FORBIDDEN,
            PushError::TooMany => StatusCode::TOO_MANY_REQUESTS,
            PushError::NoRandom => StatusCode::SERVICE_UNAVAILABLE,
        };
        tracing::debug!("a push is refused: {why}");
        return refused(status, &why.to_string());
    }
    drop_body(request.into_body()).await;
    json(StatusCode::CREATED, &serde_json::json!({}))
}

/// Reads `body` to its end, if that is near, so that the connection can be used again.
async fn drop_body(body: Body) {
    let _ = axum::body::to_bytes(body, MAX_BODY).await;
}

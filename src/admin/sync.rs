//! `POST /sync/SOURCE[/PATH]`: syncs that are asked for.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;

use super::control_client::SyncedSource;
use super::response::{json, refused};
use crate::hints::{HintError, HintRegistry, HintTarget};

/// The routes of the admin port: each request is a hint, which is passed on and not waited for.
pub fn hint_routes(hints: HintRegistry) -> Router {
    Router::new()
        .route("/sync/{source}", post(hint_all))
        .route("/sync/{source}/", post(hint_all))
        .route("/sync/{source}/{*path}", post(hint_path))
        .with_state(hints)
}

async fn hint_all(State(hints): State<HintRegistry>, Path(source): Path<String>) -> Response {
    hint(&hints, HintTarget { source: &source, path: None })
}

async fn hint_path(State(hints): State<HintRegistry>, Path((source, path)): Path<(String, String)>) -> Response {
    hint(&hints, HintTarget { source: &source, path: Some(&path) })
}

fn hint(hints: &HintRegistry, target: HintTarget<'_>) -> Response {
    match hints.hint(target) {
        Ok(sources) => json(StatusCode::ACCEPTED, &serde_json::json!({ "sources": sources })),
        Err(HintError::Unknown) => unknown(),
        Err(HintError::TooMany { retry_after }) => {
            let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "there are too many hints");
            let seconds = retry_after.as_secs().saturating_add(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}

fn unknown() -> Response {
    refused(StatusCode::NOT_FOUND, "there is no such source")
}

/// The routes of the control socket: a sync that is asked for there is made whatever failed before, and the response
/// says how it went.
pub fn control_routes(hints: HintRegistry) -> Router {
    Router::new()
        .route("/sync/{source}", post(request_all))
        .route("/sync/{source}/{*path}", post(request_path))
        .with_state(hints)
}

async fn request_all(State(hints): State<HintRegistry>, Path(source): Path<String>) -> Response {
    request(&hints, HintTarget { source: &source, path: None }).await
}

async fn request_path(State(hints): State<HintRegistry>, Path((source, path)): Path<(String, String)>) -> Response {
    request(&hints, HintTarget { source: &source, path: Some(&path) }).await
}

async fn request(hints: &HintRegistry, target: HintTarget<'_>) -> Response {
    let requested = hints.request(target);
    if requested.is_empty() {
        return unknown();
    }
    let mut synced = Vec::new();
    for (source, receiver) in requested {
        synced.push(match receiver.await {
            Ok(summary) => SyncedSource { source, changes: summary.changes, error: summary.error },
            Err(_) => SyncedSource { source, changes: 0, error: Some("the source was stopped".to_owned()) },
        });
    }
    json(StatusCode::OK, &synced)
}

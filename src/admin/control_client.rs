//! The client of the control socket.

use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::socket_file::ShortPath;
use crate::tables::address::path_segment;

/// Octets of an answer.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How the sync of a source went that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedSource {
    /// The name of the source.
    pub source: String,
    /// Objects that were new, changed or gone.
    pub changes: usize,
    /// What could not be read.
    pub error: Option<String>,
}

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It runs no source of that name.
    #[error("the daemon has no such source")]
    Unknown,
    /// Its socket cannot be used.
    #[error("its socket cannot be used: {0}")]
    Socket(String),
}

/// Asks the daemon that holds a ledger.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
}

impl ControlClient {
    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// [`ControlError::Socket`] when that cannot be done.
    pub async fn connect(path: &Path) -> Result<ControlClient, ControlError> {
        let failed = |why: std::io::Error| ControlError::Socket(format!("{}: {why}", path.display()));
        let short = ShortPath::of(path).map_err(failed)?;
        let stream = UnixStream::connect(short.path()).await.map_err(failed)?;
        Ok(ControlClient { stream })
    }

    /// Has the sources synced that `source`, and a user or a path in it, name; waits until they are.
    ///
    /// # Errors
    /// [`ControlError`]
    pub async fn sync(self, source: &str, path: Option<&str>) -> Result<Vec<SyncedSource>, ControlError> {
        let mut target = format!("/sync/{}", path_segment(source));
        if let Some(path) = path {
            target.push('/');
            target.push_str(&path.split('/').map(path_segment).collect::<Vec<_>>().join("/"));
        }
        let failed = |why: &dyn std::fmt::Display| ControlError::Socket(why.to_string());
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.stream)).await.map_err(|error| failed(&error))?;
        let serving = tokio::spawn(connection);
        let request = Request::builder().method(Method::POST).uri(target).header(header::HOST, "localhost");
        let request = request.body(Body::empty()).map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
        let body = body.map_err(|error| failed(&error))?;
        serving.abort();
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| failed(&error)),
            StatusCode::NOT_FOUND => Err(ControlError::Unknown),
            other => Err(failed(&format!("it answers {other}"))),
        }
    }
}

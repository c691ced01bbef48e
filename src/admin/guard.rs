//! Who may send requests to the admin port, and how large they may be.
//!
//! With a token, requests must have it. Without one, the port listens at a loopback address, and every program of this
//! machine may send requests. Pages in a browser on this machine may not: a page of another site is known by its
//! `Origin` or `Sec-Fetch-Site`, and one that got its host's name to mean this machine (DNS rebinding) by `Host`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::response::refused;
use crate::tables::{Secret, SecretSource};
use crate::text::octets_of_base64;

/// Octets of the body of a request. It is not used.
const MAX_BODY: usize = 64 * 1024;
/// A command that prints the token is run no more often than this.
const RUN_EVERY: Duration = Duration::from_secs(60);
/// What it has printed counts for so long; then it is run again, as the token may have been revoked.
const VALID: Duration = Duration::from_secs(5 * 60);

/// Decides who may send requests.
#[derive(Debug)]
pub struct AdminGuard {
    token: Option<SecretSource>,
    /// What a command has printed.
    printed: SyncMutex<Printed>,
    /// Held while the command runs.
    running: Mutex<()>,
    /// Why the token could not be read the last time.
    fault: Mutex<Option<String>>,
}

/// What a command has printed, and how its last run ended.
#[derive(Debug, Default)]
struct Printed {
    /// The token, and when it was printed.
    token: Option<(Secret, Instant)>,
    /// When it was last run, and why that failed, if it did.
    last: Option<(Instant, Option<String>)>,
}

impl AdminGuard {
    /// Requests need the token at `token`; none: those of this machine need none.
    pub fn new(token: Option<SecretSource>) -> Arc<AdminGuard> {
        Arc::new(AdminGuard {
            token,
            printed: SyncMutex::default(),
            running: Mutex::default(),
            fault: Mutex::default(),
        })
    }

    /// Why a request for `uri` with `headers` is refused, if it is.
    async fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let Some(source) = &self.token else {
            // Where the target names a host, that counts, and not the header (RFC 9112, 3.2.2).
            let is_named = uri.host().is_none_or(is_name_of_this_machine);
            let is_foreign = !is_named || !is_of_this_machine(headers) || is_of_a_page(headers);
            return is_foreign.then(|| refused(StatusCode::FORBIDDEN, "this is for programs of this machine"));
        };
        let Some(given) = given_token(headers) else { return Some(unauthorized()) };
        match self.is_right(source, &given).await {
            Ok(true) => None,
            Ok(false) => Some(unauthorized()),
            Err(why) => {
                let mut fault = self.fault.lock().await;
                if fault.as_ref() != Some(&why) {
                    tracing::warn!("requests to the admin port are refused: its {why}");
                    *fault = Some(why);
                }
                Some(refused(StatusCode::SERVICE_UNAVAILABLE, "the token of this server cannot be read"))
            }
        }
    }

    async fn is_right(&self, source: &SecretSource, given: &[u8]) -> Result<bool, String> {
        if !source.is_printed() {
            let wanted = source.get().await.map_err(|why| why.to_string())?;
            *self.fault.lock().await = None;
            return Ok(is_equal(wanted.expose().as_bytes(), given));
        }
        if let Some(answer) = self.printed().answer(given) {
            return answer;
        }
        let _running = self.running.lock().await;
        // Whoever has waited for a run goes by what that has printed.
        if let Some(answer) = self.printed().answer(given) {
            return answer;
        }
        let outcome = source.get().await.map_err(|why| why.to_string());
        let now = Instant::now();
        self.printed().last = Some((now, outcome.as_ref().err().cloned()));
        let wanted = outcome?;
        *self.fault.lock().await = None;
        let is_right = is_equal(wanted.expose().as_bytes(), given);
        self.printed().token = Some((wanted, now));
        Ok(is_right)
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Printed {
    /// Whether `given` is the token, as far as that is known without another run of the command; fails with why the
    /// last one has failed.
    fn answer(&self, given: &[u8]) -> Option<Result<bool, String>> {
        let valid = self.token.as_ref().filter(|(_, since)| since.elapsed() < VALID);
        if valid.is_some_and(|(token, _)| is_equal(token.expose().as_bytes(), given)) {
            return Some(Ok(true));
        }
        let (_, fault) = self.last.as_ref().filter(|(at, _)| at.elapsed() < RUN_EVERY)?;
        Some(fault.clone().map_or(Ok(false), Err))
    }
}

/// `routes`, for whom `admin_guard` allows them.
pub fn guarded(routes: Router, admin_guard: Arc<AdminGuard>) -> Router {
    routes.layer(from_fn_with_state(admin_guard, guard))
}

/// Lets a request pass that is allowed, without its body.
async fn guard(State(guard): State<Arc<AdminGuard>>, request: Request, next: Next) -> Response {
    if let Some(refusal) = guard.refusal(request.uri(), request.headers()).await {
        return refusal;
    }
    let (head, body) = request.into_parts();
    if axum::body::to_bytes(body, MAX_BODY).await.is_err() {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "the body of the request is too long");
    }
    next.run(Request::from_parts(head, Body::empty())).await
}

fn unauthorized() -> Response {
    let mut response = refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong").into_response();
    for challenge in ["Bearer realm=\"reveille\"", "Basic realm=\"reveille\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// The token that a request has: as such (RFC 6750), or as a password (RFC 7617), of whatever user.
fn given_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(rest.as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let login = octets_of_base64(rest)?;
    let colon = login.iter().position(|octet| *octet == b':')?;
    login.get(colon.saturating_add(1)..).map(<[u8]>::to_vec)
}

/// Whether both are the same. How long that takes says nothing of where they differ: hashes are compared, and all of
/// their octets.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(other.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Whether the request names this machine as the one that it is for.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else { return true };
    // Which of two counts is not for us to say (RFC 9112, 3.2).
    let (Ok(host), None) = (host.to_str(), hosts.next()) else { return false };
    is_name_of_this_machine(host)
}

/// Whether `host`, which may have a port, is this machine by its loopback name or address.
fn is_name_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a page of another site has made a browser send the request.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| !matches!(site, b"none" | b"same-origin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::SecretCommand;

    #[tokio::test]
    async fn a_command_that_fails_is_not_run_for_each_request() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let script = format!("echo >> '{}'; exit 1", runs.display());
        let command = SecretCommand::new("token_command", "/bin/sh".to_owned(), vec!["-c".to_owned(), script]);
        let source = SecretSource::Printed(command);
        let guard = AdminGuard::new(Some(source.clone()));
        let first = guard.is_right(&source, b"sesame").await.unwrap_err();
        assert_eq!(guard.is_right(&source, b"sesame").await.unwrap_err(), first);
        assert_eq!(std::fs::read(&runs).unwrap(), b"\n");
    }

    #[tokio::test]
    async fn a_printed_token_counts_for_some_minutes_and_while_the_command_runs_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let script = format!("cd '{}' && cat token && test ! -e pipe || cat pipe", folder.path().display());
        let command = SecretCommand::new("token_command", "/bin/sh".to_owned(), vec!["-c".to_owned(), script]);
        let source = SecretSource::Printed(command);
        let guard = AdminGuard::new(Some(source.clone()));
        let advance = async |time| {
            tokio::time::pause();
            tokio::time::advance(time).await;
            tokio::time::resume();
        };
        std::fs::write(path("token"), "sesame\n").unwrap();
        assert_eq!(guard.is_right(&source, b"sesame").await, Ok(true));
        advance(RUN_EVERY).await;
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let (wrong, right) = tokio::join!(guard.is_right(&source, b"wrong"), async {
            while guard.running.try_lock().is_ok() {
                tokio::task::yield_now().await;
            }
            let right = guard.is_right(&source, b"sesame").await;
            std::fs::write(path("pipe"), "").unwrap();
            right
        });
        assert_eq!((wrong, right), (Ok(false), Ok(true)));
        std::fs::remove_file(path("pipe")).unwrap();
        std::fs::write(path("token"), "other\n").unwrap();
        assert_eq!(guard.is_right(&source, b"sesame").await, Ok(true), "it was printed a moment ago");
        advance(VALID).await;
        assert_eq!(guard.is_right(&source, b"sesame").await, Ok(false));
        assert_eq!(guard.is_right(&source, b"other").await, Ok(true));
    }
}

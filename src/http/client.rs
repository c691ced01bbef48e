//! A client of one server, for whatever is asked of it. It logs in, sends requests as fast as the server wants, once
//! more on a fresh connection or with a new secret, waits for a server that is busy, follows redirections on the same
//! server, and reads no more of a response than is allowed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{RequestBuilder, Url};
use tokio::time::{Instant, sleep};

use super::body::{Body, unless_silent};
use super::builder::ClientError;
use super::challenge::Challenge;
use super::client_maker::{ClientMaker, ClientSettings, LoggedIn};
use super::error::HttpError;
use super::host::{Host, Hosts};
use super::login::LoginState;
use super::message::{HttpFailure, HttpRequest, HttpResponse, HttpTransport, response_head};
use super::patience::Patience;
use super::redirect;
use super::silence::Silence;
use crate::tables::Credentials;

/// How often files are checked that the settings name and that cannot be used.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How often one request is sent: servers close idle connections without a word.
const TRIES: usize = 2;
/// So often a server may say at one request how it wants to be logged in to: what it offers, and twice a new nonce.
const CHALLENGES: usize = 3;

/// Bounds on what a server may do to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Octets of the body of a response, unpacked.
    pub max_response_size: usize,
    /// Redirections that are followed for one request.
    pub max_redirects: usize,
    /// A longer wish to be left alone (Retry-After) counts as this one.
    pub max_retry_after: Duration,
}

/// A client of one server, logged in.
#[derive(Debug)]
pub struct HttpClient {
    maker: ClientMaker,
    login: LoginState,
    /// The way of requests, where that is not the network.
    transport: Option<Arc<dyn HttpTransport>>,
    silence: Silence,
    limits: HttpLimits,
    host: Arc<Host>,
    /// Whether a request waits for a server that is busy.
    waits: bool,
    sent: AtomicU64,
    answers: AtomicU64,
    received: AtomicU64,
}

/// Reads the body of a response, for those who do not want it as octets.
pub trait BodyReader: Send {
    /// What it makes of a body.
    type Read: Send;

    /// Whether it reads the body of a response with `status`.
    fn reads(&self, status: u16) -> bool;

    /// Reads a body as it comes in.
    ///
    /// # Errors
    /// Those of [`Body::next`].
    fn read(self, body: &mut Body) -> impl Future<Output = Result<Self::Read, HttpFailure>> + Send;

    /// Reads a body that has come.
    fn read_whole(self, body: &[u8]) -> Self::Read;
}

/// A response that has come to its end.
#[derive(Debug)]
pub struct Received<T> {
    /// Without its body, if a [`BodyReader`] has read it.
    pub response: HttpResponse,
    /// What the [`BodyReader`] made of the body; `None` if it does not read those of this status.
    pub read: Option<T>,
}

impl HttpClient {
    /// A client of the server at `url`. Nothing is read or sent yet.
    pub fn new(url: &Url, settings: ClientSettings, limits: HttpLimits) -> HttpClient {
        HttpClient {
            silence: Silence::new(settings.timeout),
            login: LoginState::new(url),
            maker: ClientMaker::new(url, settings),
            transport: None,
            limits,
            host: Arc::default(),
            waits: true,
            sent: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// This client, whose requests go by `transport`.
    #[must_use]
    pub fn over(self, transport: Arc<dyn HttpTransport>) -> HttpClient {
        HttpClient { transport: Some(transport), ..self }
    }

    /// This client, of a server that others ask as well.
    #[must_use]
    pub fn on(self, host: Arc<Host>) -> HttpClient {
        HttpClient { host, ..self }
    }

    /// This client, which shares access tokens with those of `hosts` that use the same refresh token.
    #[must_use]
    pub fn sharing_tokens(self, hosts: &Hosts) -> HttpClient {
        HttpClient { maker: self.maker.sharing(hosts.refresh_tokens()), ..self }
    }

    /// This client, whose requests do not wait for a server that is busy: its answer that it is so is the response.
    #[must_use]
    pub fn without_waiting(self) -> HttpClient {
        HttpClient { waits: false, ..self }
    }

    /// This client, which connects to public addresses only. Names are checked after they are resolved; whether the URL
    /// has an address in the place of a name is checked by whoever makes it. No proxy is used, which would resolve
    /// names.
    #[must_use]
    pub fn public_only(self) -> HttpClient {
        HttpClient { maker: self.maker.public_only(), ..self }
    }

    /// This client, which keeps so many idle connections of HTTP/1.1: requests that are sent at the same time would
    /// otherwise connect anew each time.
    #[must_use]
    pub fn keeping(self, connections: usize) -> HttpClient {
        HttpClient { maker: self.maker.keeping(connections), ..self }
    }

    /// The server.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How requests log in.
    pub fn credentials(&self) -> &Credentials {
        self.maker.credentials()
    }

    /// What stands in the way of the login that the server refused with `challenges`, besides a wrong password or
    /// token: the rest of a sentence about the server; none if nothing does.
    pub fn login_obstacle(&self, challenges: &[Challenge]) -> Option<String> {
        let schemes: &[&str] = match self.credentials() {
            Credentials::None => return Some("the source names no username".to_owned()),
            Credentials::Bearer { .. } | Credentials::OAuth2(_) => &["Bearer"],
            Credentials::Password { scheme, .. } => {
                if let Some(obstacle) = self.login.obstacle(*scheme, &self.host, challenges) {
                    return Some(obstacle.to_owned());
                }
                &["Basic", "Digest"]
            }
        };
        let is_known = |challenge: &Challenge| schemes.iter().any(|scheme| challenge.is(scheme));
        if challenges.is_empty() || challenges.iter().any(is_known) {
            return None;
        }
        let offered: Vec<&str> = challenges.iter().map(|offer| offer.scheme().unwrap_or("another scheme")).collect();
        Some(format!("it offers {}, and the source logs in by {}", offered.join(", "), schemes.join(" or ")))
    }

    /// Whether requests can be made: the secret and the certificate authorities of the settings are there.
    ///
    /// # Errors
    /// [`ClientError`] when they are not.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.maker.ready().await
    }

    /// Resolves when another secret or other certificate authorities are there than those that were used last.
    pub async fn changes(&self) {
        while !self.maker.has_changed().await {
            sleep(CHECK_EVERY).await;
        }
    }

    /// Whether the secret could not be had when it was last needed, and no file tells when it can: a variable is not
    /// set, or a command failed.
    pub fn lacks_secret(&self) -> bool {
        self.maker.lacks_secret()
    }

    /// How many requests were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many requests were answered so far, other than by the news that the server is not available.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// How many octets of bodies, unpacked, have come so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Sends `request` and reads the response, whatever its status. A server that is busy is waited for, within bounds.
    ///
    /// # Errors
    /// [`HttpError`] when there is no response, or it redirects to where it is not followed.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        Ok(self.send_and_read(request, || NoReader).await?.response)
    }

    /// Likewise, and what `reader` makes reads the body as it comes in; it makes another one when the request is sent
    /// again.
    ///
    /// # Errors
    /// As for [`HttpClient::send`].
    pub async fn send_and_read<R: BodyReader>(
        &self,
        request: HttpRequest,
        reader: impl Fn() -> R + Sync,
    ) -> Result<Received<R::Read>, HttpError> {
        let mut request = request;
        let asked = request.url.clone();
        for _ in 0..=self.limits.max_redirects {
            let received = self.send_surely(&request, &reader).await?;
            let is_elsewhere = matches!(received.response.status, 301 | 302 | 307 | 308);
            let Some(location) = received.response.location.as_deref().filter(|_| is_elsewhere) else {
                return Ok(received);
            };
            request.url = redirect::target(&request.url, location)?;
            if !(request.may_move)(&asked, &request.url) {
                return Err(HttpError::Moved { url: asked.to_string(), to: request.url.to_string() });
            }
        }
        Err(HttpError::RedirectLoop { url: request.url.to_string(), limit: self.limits.max_redirects })
    }

    /// Sends `request` until there is a response that does not ask to wait, or no point in trying.
    async fn send_surely<R: BodyReader>(
        &self,
        request: &HttpRequest,
        reader: &(impl Fn() -> R + Sync),
    ) -> Result<Received<R::Read>, HttpError> {
        let (mut tries, mut challenged) = (1, 0);
        let mut patience = Patience::default();
        loop {
            let client = self.maker.get().await.map_err(|error| self.bounded(error))?;
            let turn = self.host.turn().await;
            self.sent.fetch_add(1, Ordering::Relaxed);
            let (by, authorization) = self.login.authorization(client.login(), &self.host, request);
            let sent = self.send_once(client.prepared(request, authorization), request, reader()).await;
            // A command that prints the secret may take long: others are sent meanwhile.
            let begun = turn.at;
            drop(turn);
            if let Ok(Received { response, .. }) = &sent {
                if self.waits && patience.lasts(response, self.host.is_down()) {
                    self.host.slow_down(begun, response.retry_after);
                    continue;
                }
                let is_asked = challenged < CHALLENGES;
                if is_asked && self.login.is_to_be_repeated(client.login(), &self.host, by, response) {
                    challenged += 1;
                    continue;
                }
                self.note(response);
            }
            match sent {
                // The secret may have been changed at this moment.
                Ok(Received { response, .. })
                    if response.status == 401 && tries < TRIES && self.has_another_login(&client).await? =>
                {
                    tries += 1
                }
                Err(HttpFailure::Broken(_) | HttpFailure::TlsEnded(_)) if tries < TRIES => tries += 1,
                Err(failure) => return Err(self.error(request, failure)),
                Ok(done) => return Ok(done),
            }
        }
    }

    /// Whether there is another login than `refused`.
    async fn has_another_login(&self, refused: &LoggedIn) -> Result<bool, ClientError> {
        self.maker.has_another_login(refused).await.map_err(|error| self.bounded(error))
    }

    /// `error`, which asks to wait no longer than is allowed.
    fn bounded(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::Later { reason, retry_after } => {
                let retry_after = retry_after.map(|pause| pause.min(self.limits.max_retry_after));
                ClientError::Later { reason, retry_after }
            }
            other => other,
        }
    }

    /// Notes that `response` has come: the server is up, and perhaps it has accepted the login.
    fn note(&self, response: &HttpResponse) {
        if response.is_unavailable() {
            return;
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.host.answered();
        if response.status != 401 {
            self.maker.is_accepted();
        }
    }

    /// Sends `request` and reads the response, its body by `reader` if that does so.
    async fn send_once<R: BodyReader>(
        &self,
        prepared: RequestBuilder,
        request: &HttpRequest,
        reader: R,
    ) -> Result<Received<R::Read>, HttpFailure> {
        if let Some(transport) = &self.transport {
            let mut response = transport.carry(request).await?;
            let read = match reader.reads(response.status) {
                true => Some(reader.read_whole(&std::mem::take(&mut response.body))),
                false => None,
            };
            return Ok(Received { response, read });
        }
        let (silence, begun) = (self.silence.of(request), Instant::now());
        let incoming = unless_silent(silence, prepared.send()).await?;
        self.silence.ended_by(request, begun.elapsed());
        let mut response = response_head(request.url.clone(), incoming.status().as_u16(), incoming.headers());
        response.retry_after = response.retry_after.map(|pause| pause.min(self.limits.max_retry_after));
        let mut body = Body::new(incoming, silence, self.limits.max_response_size);
        let read = if reader.reads(response.status) {
            Some(reader.read(&mut body).await?)
        } else {
            while let Some(piece) = body.next().await? {
                response.body.extend_from_slice(&piece);
            }
            None
        };
        self.received.fetch_add(body.length(), Ordering::Relaxed);
        Ok(Received { response, read })
    }

    /// What the last `failure` of `request` means. One that timed out gets more time when it is sent again.
    fn error(&self, request: &HttpRequest, failure: HttpFailure) -> HttpError {
        let url = request.url.to_string();
        match failure {
            HttpFailure::TimedOut => {
                let seconds = self.silence.of(request).as_secs();
                self.silence.broken_by(request);
                let next = self.silence.of(request).as_secs();
                HttpError::Timeout { url, seconds, next }
            }
            HttpFailure::TooLarge => HttpError::TooLarge { url, limit: self.limits.max_response_size },
            HttpFailure::Tls(reason) | HttpFailure::TlsEnded(reason) => HttpError::Tls { url, reason },
            HttpFailure::Unreachable(reason) => HttpError::Unreachable { url, reason },
            HttpFailure::Broken(reason) => HttpError::Broken { url, reason },
        }
    }
}

/// Leaves the bodies of all responses as they are.
struct NoReader;

impl BodyReader for NoReader {
    type Read = ();

    fn reads(&self, _: u16) -> bool {
        false
    }

    async fn read(self, _: &mut Body) -> Result<(), HttpFailure> {
        Ok(())
    }

    fn read_whole(self, _: &[u8]) {}
}

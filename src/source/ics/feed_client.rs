//! Fetching a feed: one conditional GET. Redirections to other servers are followed, as feeds need that, but never from
//! an encrypted connection to one that is not; the login is sent to the server of the address alone.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Url;

use super::address::{fingerprint, shown};
use super::error::IcsError;
use super::feed_state::Validators;
use crate::config::{Credentials, IcsSettings, ResponseLimits, feed_url};
use crate::http::{
    ClientSettings, Hosts, HttpClient, HttpError, HttpLimits, HttpRequest, HttpResponse, Method, http_date_text,
};

/// Servers of one feed whose clients are kept.
const MAX_CLIENTS: usize = 16;

/// A client of one feed.
#[derive(Debug)]
pub(super) struct FeedClient {
    settings: IcsSettings,
    limits: HttpLimits,
    hosts: Hosts,
    /// The address, as it was read last.
    url: Option<Url>,
    /// By origin.
    clients: HashMap<String, HttpClient>,
    /// The origin that was asked last.
    last: String,
    /// Requests and answers of clients that are not kept.
    dropped: (u64, u64),
}

/// What a feed answered.
#[derive(Debug)]
pub(super) struct FetchedFeed {
    /// The response, of status 200 or 304.
    pub response: HttpResponse,
    /// [`fingerprint`] of the address that was asked.
    pub address: String,
    /// The address as it may be shown.
    pub shown: String,
}

impl FeedClient {
    pub(super) fn new(settings: &IcsSettings, limits: &ResponseLimits) -> FeedClient {
        let limits = HttpLimits {
            max_response_size: limits.max_response_size,
            max_redirects: limits.max_redirects,
            max_retry_after: limits.max_retry_after,
        };
        FeedClient {
            settings: settings.clone(),
            limits,
            hosts: Hosts::default(),
            url: None,
            clients: HashMap::new(),
            last: String::new(),
            dropped: (0, 0),
        }
    }

    /// This client, which shares what is known of servers.
    pub(super) fn sharing(self, hosts: &Hosts) -> FeedClient {
        FeedClient { hosts: hosts.clone(), ..self }
    }

    /// Whether a login was sent to the server that was asked last: one that the feed redirects to gets none.
    pub(super) fn logs_in(&self) -> bool {
        !matches!(self.settings.credentials, Credentials::None) && self.own_origin().as_ref() == Some(&self.last)
    }

    /// The origin of the address.
    fn own_origin(&self) -> Option<String> {
        self.url.as_ref().map(|url| url.origin().ascii_serialization())
    }

    /// Requests that were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.clients.values().map(HttpClient::sent).sum::<u64>() + self.dropped.0
    }

    /// Requests that were answered so far.
    pub(super) fn answers(&self) -> u64 {
        self.clients.values().map(HttpClient::answers).sum::<u64>() + self.dropped.1
    }

    /// The address as it may be shown.
    pub(super) fn shown(&self) -> String {
        self.url.as_ref().map_or_else(|| "the feed".to_owned(), shown)
    }

    /// Whether the address, the secret and the certificate authorities are there.
    ///
    /// # Errors
    /// [`IcsError::Settings`] if not.
    pub(super) async fn ready(&mut self) -> Result<(), IcsError> {
        let url = self.address()?;
        self.client(&url, &url).ready().await.map_err(|error| IcsError::Settings(error.to_string()))
    }

    /// Whether the address or the secret cannot be had, and no file tells when it can.
    pub(super) fn lacks_secret(&self) -> bool {
        let is_unseen = self.clients.get(&self.last).is_some_and(HttpClient::lacks_secret);
        is_unseen || self.settings.url.lacks_variable()
    }

    /// Notes that the server that was asked last has failed; false when that is no outage.
    pub(super) fn host_failed(&self) -> bool {
        self.clients.get(&self.last).is_some_and(|client| client.host().failed())
    }

    /// Resolves when the server that failed last is worth another try.
    pub(super) async fn comes_back(&self, spread: Duration) {
        match self.clients.get(&self.last) {
            Some(client) => client.host().comes_back(spread).await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when another secret or other certificate authorities are there.
    pub(super) async fn changes(&self) {
        // The login is that of the server of the address, and all have the same authorities.
        match self.own_origin().and_then(|own| self.clients.get(&own)) {
            Some(client) => client.changes().await,
            None => std::future::pending().await,
        }
    }

    /// Reads the address.
    fn address(&mut self) -> Result<Url, IcsError> {
        let written = self.settings.url.read().map_err(|error| IcsError::Settings(error.to_string()))?;
        let url = feed_url(written.expose(), self.settings.allow_plaintext);
        let url = url.map_err(|why| IcsError::Settings(format!("the address of the feed {why}")))?;
        if self.url.as_ref() != Some(&url) {
            self.forget();
            self.url = Some(url.clone());
        }
        Ok(url)
    }

    /// Drops all clients: one of another address may have the wrong login.
    fn forget(&mut self) {
        self.dropped = (self.sent(), self.answers());
        self.clients.clear();
    }

    /// The client of the server of `url`; `address` is where the login belongs.
    fn client(&mut self, url: &Url, address: &Url) -> &HttpClient {
        let origin = url.origin().ascii_serialization();
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&origin) {
            self.forget();
        }
        self.last.clone_from(&origin);
        self.clients.entry(origin).or_insert_with(|| {
            let is_own = url.origin() == address.origin();
            let settings = ClientSettings {
                credentials: if is_own { self.settings.credentials.clone() } else { Credentials::None },
                ca_file: self.settings.ca_file.clone(),
                client_certificate: None,
                timeout: self.settings.timeout,
            };
            HttpClient::new(url, settings, self.limits).on(self.hosts.host(url))
        })
    }

    /// Fetches the feed; with `known` only if it has changed since then. A body comes with status 200 only.
    ///
    /// # Errors
    /// [`IcsError`] for whatever is no calendar and no 304.
    pub(super) async fn fetch(&mut self, known: Option<&Validators>) -> Result<FetchedFeed, IcsError> {
        let url = self.address()?;
        let address = fingerprint(&url);
        let known = known.filter(|known| known.address == address);
        let response = self.follow(&url, known).await?;
        let is_asked = known.is_some_and(Validators::are_of_use);
        match response.status {
            200 => Ok(FetchedFeed { response, address, shown: shown(&url) }),
            304 if is_asked => Ok(FetchedFeed { response, address, shown: shown(&url) }),
            _ => Err(refusal(shown(&url), &response)),
        }
    }

    /// Sends the request to `address`, and follows redirections to other servers.
    async fn follow(&mut self, address: &Url, known: Option<&Validators>) -> Result<HttpResponse, IcsError> {
        let mut url = address.clone();
        for _ in 0..=self.limits.max_redirects {
            let request = request(&url, known);
            let (from, to) = match self.client(&url, address).send(request).await {
                Ok(response) => return Ok(response),
                Err(HttpError::Redirected { url, to } | HttpError::Unencrypted { url, to, .. }) => (url, to),
                Err(error) => return Err(IcsError::of_http(error)),
            };
            let refused = || IcsError::of_http(HttpError::Redirected { url: from.clone(), to: to.clone() });
            let next = feed_url(&to, self.settings.allow_plaintext).map_err(|_| refused())?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(refused());
            }
            url = next;
        }
        Err(IcsError::RedirectLoop { url: shown(address), limit: self.limits.max_redirects })
    }
}

/// A GET of `url`, if it is not what is `known`.
fn request(url: &Url, known: Option<&Validators>) -> HttpRequest {
    let mut request = HttpRequest::new(Method::GET, url).with_header("Accept", "text/calendar, */*;q=0.5");
    if let Some(etag) = known.and_then(|known| known.etag.clone()) {
        request = request.with_header("If-None-Match", etag);
    } else if let Some(modified) = known.and_then(Validators::last_modified) {
        request = request.with_header("If-Modified-Since", http_date_text(modified));
    }
    request
}

/// What a response means that is no calendar. `url` is as it may be shown.
fn refusal(url: String, response: &HttpResponse) -> IcsError {
    let status = response.status;
    match status {
        401 | 403 => IcsError::Unauthorized { url, status },
        404 | 410 => IcsError::NotFound { url, status },
        _ if response.is_unavailable() => IcsError::Unavailable { url, status, retry_after: response.retry_after },
        _ => IcsError::Status { url, status },
    }
}

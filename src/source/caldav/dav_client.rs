//! The client of a WebDAV server: logging in, redirections, limits, one more try on a fresh connection. Of XML it knows
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::LOCATION;
use tokio::time::Instant;

use super::body::collect;
use super::error::CaldavError;
use super::href;
use super::message::{Multistatus, ResponseOrigin, said_no};
use super::multistatus::{self, Collect, Response};
use super::xml::XmlError;
use crate::config::{CaldavSettings, Credentials, ResponseLimits};
use crate::http::{
    Body, ClientError, ClientMaker, ClientSettings, Host, HttpFailure, HttpRequest, HttpResponse, HttpTransport,
    LoggedIn, Method, Silence, header_text, response_head, unless_silent,
};

/// How often files are looked at that somebody has to put right.
const GLANCE: Duration = Duration::from_secs(2);
/// The longest that one request waits, all in all, for a server that asks for patience (429, or 503 with a
/// Retry-After).
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// And for one that only says that it is not available (503), which may be an outage as well as a limit.
const DOUBTFUL_PATIENCE: Duration = Duration::from_secs(5);
/// Attempts at one request: servers close idle connections without a word.
const ATTEMPTS: usize = 2;

/// A client of one server, logged in.
#[derive(Debug)]
pub struct DavClient {
    client: ClientMaker,
    /// The way of requests, where that is not the network.
    transport: Option<Arc<dyn HttpTransport>>,
    silence: Silence,
    limits: ResponseLimits,
    host: Arc<Host>,
    sent: AtomicU64,
    answers: AtomicU64,
}

impl DavClient {
    /// A client for the server at `url`, of whose answers no more is read than `limits` allow.
    pub fn new(url: &Url, settings: &CaldavSettings, limits: ResponseLimits) -> DavClient {
        let client = ClientSettings {
            credentials: settings.credentials.clone(),
            ca_file: settings.ca_file.clone(),
            timeout: settings.timeout,
        };
        let client = ClientMaker::new(url, client);
        DavClient {
            client,
            transport: None,
            silence: Silence::new(settings.timeout),
            limits,
            host: Arc::default(),
            sent: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        }
    }

    /// Whether requests can be made: the secret and the certificate authorities of the settings are there.
    ///
    /// # Errors
    /// [`CaldavError::Settings`] when they are not.
    pub fn ready(&self) -> Result<(), CaldavError> {
        Ok(self.client.get().map(drop)?)
    }

    /// This client, whose requests go by `transport`.
    pub fn over(self, transport: Arc<dyn HttpTransport>) -> DavClient {
        DavClient { transport: Some(transport), ..self }
    }

    /// This client, of a server that others ask as well.
    pub fn on(self, host: Arc<Host>) -> DavClient {
        DavClient { host, ..self }
    }

    /// The server.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Resolves when another secret or other certificate authorities lie there than those that were used last.
    pub async fn changes(&self) {
        while !self.client.has_changed() {
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Whether requests cannot be made before the process is started anew: the environment lacks the secret.
    pub fn lacks_variable(&self) -> bool {
        self.client.lacks_variable()
    }

    /// What is read of responses at most.
    pub fn limits(&self) -> &ResponseLimits {
        &self.limits
    }

    /// How many requests were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many requests were answered so far, other than by the news that the server is not available.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Sends `request` and reads the response, whatever its status. A server that is busy is waited for, within bounds.
    ///
    /// # Errors
    /// [`CaldavError::Settings`], and those of the way there and back: [`CaldavError::Unreachable`], `Broken`,
    /// `Timeout`, `Redirected`, `RedirectLoop`, `TooLarge`.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, CaldavError> {
        Ok(self.send_to_the_end(request, &|| None::<NoCollector>).await?.response)
    }

    async fn send_to_the_end<C: Collect>(
        &self,
        request: HttpRequest,
        collector: &(impl Fn() -> Option<C> + Sync),
    ) -> Result<Exchanged<C>, CaldavError> {
        let mut request = request;
        let asked = request.url.clone();
        for _ in 0..=self.limits.max_redirects {
            let mut arrived = self.send_surely(&request, collector).await?;
            let is_elsewhere = matches!(arrived.response.status, 301 | 302 | 307 | 308);
            let Some(location) = arrived.location.take().filter(|_| is_elsewhere) else {
                return Ok(arrived);
            };
            request.url = redirected(&request.url, &location)?;
            if !request.wanders && !href::is_same_below(&asked, &request.url) {
                return Err(CaldavError::Moved { url: asked.to_string(), to: request.url.to_string() });
            }
        }
        Err(CaldavError::RedirectLoop { url: request.url.to_string(), limit: self.limits.max_redirects })
    }

    async fn send_surely<C: Collect>(
        &self,
        request: &HttpRequest,
        collector: &(impl Fn() -> Option<C> + Sync),
    ) -> Result<Exchanged<C>, CaldavError> {
        let mut attempt = 1;
        let mut patience = Patience::default();
        loop {
            let begun = self.host.turn().await;
            self.sent.fetch_add(1, Ordering::Relaxed);
            let client = self.client.get()?;
            let sent = self.send_once(&client, request, collector()).await;
            if let Ok(Exchanged { response, .. }) = &sent {
                if patience.bears(response, self.host.is_down()) {
                    self.host.slow_down(begun, response.retry_after);
                    continue;
                }
                if !is_unavailable(response.status) {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                    self.host.answered();
                    if response.status != 401 {
                        self.client.is_accepted();
                    }
                }
            }
            match sent {
                // The secret may have been changed at this moment.
                Ok(Exchanged { response, .. })
                    if response.status == 401 && attempt < ATTEMPTS && self.client.has_another_login(&client)? =>
                {
                    attempt += 1
                }
                Err(HttpFailure::Broken(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(failure) => return Err(self.error(request, failure)),
                Ok(done) => return Ok(done),
            }
        }
    }

    /// Sends `request` and reads the response: into `collector` if there is one and it is a multistatus.
    async fn send_once<C: Collect>(
        &self,
        client: &LoggedIn,
        request: &HttpRequest,
        collector: Option<C>,
    ) -> Result<Exchanged<C>, HttpFailure> {
        if let Some(transport) = &self.transport {
            let (response, location) = transport.carry(request).await?;
            let found = match collector.filter(|_| response.status == MULTISTATUS) {
                Some(collector) => {
                    let xml = String::from_utf8_lossy(&response.body);
                    Some(multistatus::read(xml.as_bytes(), &self.limits, collector).await)
                }
                None => None,
            };
            return Ok(Exchanged { response, location, found });
        }
        let mut builder = client.client.request(request.method.to_reqwest(), request.url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        let (silence, begun) = (self.silence.of(request), Instant::now());
        let incoming = unless_silent(silence, client.authorized(builder).send()).await?;
        self.silence.ended_by(request, begun.elapsed());
        let location = header_text(incoming.headers(), LOCATION);
        let mut response = response_head(request.url.clone(), incoming.status().as_u16(), incoming.headers());
        response.retry_after = response.retry_after.map(|pause| pause.min(self.limits.max_retry_after));
        let mut body = Body::new(incoming, silence, self.limits.max_response_size);
        let found = match collector.filter(|_| response.status == MULTISTATUS) {
            Some(collector) => Some(collect(&mut body, &self.limits, collector).await?),
            None => {
                while let Some(piece) = body.next().await? {
                    response.body.extend_from_slice(&piece);
                }
                None
            }
        };
        Ok(Exchanged { response, location, found })
    }

    /// Sends `request` and reads the multistatus that answers it, as it comes in, into what `collector` makes; it makes
    /// another one for another attempt.
    ///
    /// # Errors
    /// Those of [`DavClient::send`]; what [`DavClient::refusal`] makes of any other response than 207;
    /// [`CaldavError::Xml`].
    pub async fn multistatus<C: Collect>(
        &self,
        request: HttpRequest,
        collector: impl Fn() -> C + Sync,
    ) -> Result<Multistatus<C::Found>, CaldavError> {
        let method = request.method;
        let Exchanged { response, found, .. } = self.send_to_the_end(request, &|| Some(collector())).await?;
        let Some(found) = found else { return Err(self.refusal(method, &response)) };
        let refused = |error| CaldavError::Xml { url: response.url.to_string(), method: method.name(), error };
        let found = found.map_err(refused)?;
        Ok(Multistatus { origin: ResponseOrigin { method, url: response.url, date: response.date }, found })
    }

    /// What a response that is not the one hoped for means.
    pub fn refusal(&self, method: Method, response: &HttpResponse) -> CaldavError {
        let (url, status, method) = (response.url.to_string(), response.status, method.name());
        match status {
            200..=299 => {
                let kind = response.content_type.split(';').next().unwrap_or_default().trim();
                let answer = if kind.is_empty() { format!("{status}") } else { format!("{status} and {kind}") };
                CaldavError::NotDav { url, method, answer }
            }
            401 => CaldavError::Unauthorized { url, offers: self.offers(&response.schemes) },
            status if is_unavailable(status) => {
                CaldavError::Unavailable { url, status, retry_after: response.retry_after }
            }
            _ => said_no(url, method, status),
        }
    }

    /// A remark on how the server wants to be logged in to, where that is not how it was done.
    fn offers(&self, schemes: &[String]) -> String {
        let used = match self.client.credentials() {
            Credentials::None => return "; the source names no username".to_owned(),
            Credentials::Basic { .. } => "Basic",
            Credentials::Bearer { .. } => "Bearer",
        };
        if schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case(used)) {
            return String::new();
        }
        format!("; it offers {}, and {used} was used: Reveille speaks Basic and Bearer", schemes.join(", "))
    }

    fn error(&self, request: &HttpRequest, failure: HttpFailure) -> CaldavError {
        let url = request.url.to_string();
        match failure {
            HttpFailure::TimedOut => {
                let seconds = self.silence.of(request).as_secs();
                self.silence.broken_by(request);
                let next = self.silence.of(request).as_secs();
                CaldavError::Timeout { url, seconds, next }
            }
            HttpFailure::TooLarge => CaldavError::TooLarge { url, limit: self.limits.max_response_size },
            HttpFailure::Tls(reason) => CaldavError::Tls { url, reason },
            HttpFailure::Unreachable(reason) => CaldavError::Unreachable { url, reason },
            HttpFailure::Broken(reason) => CaldavError::Broken { url, reason },
        }
    }
}

impl From<ClientError> for CaldavError {
    fn from(error: ClientError) -> CaldavError {
        CaldavError::Settings(error.0)
    }
}

/// The status of a response that is a multistatus.
const MULTISTATUS: u16 = 207;

/// A response that has come to its end.
struct Exchanged<C: Collect> {
    /// Without its body, where that was collected.
    response: HttpResponse,
    /// Where it redirects to.
    location: Option<String>,
    found: Option<Result<C::Found, XmlError>>,
}

/// Collects nothing.
struct NoCollector;

impl Collect for NoCollector {
    type Found = ();

    fn add(&mut self, _: Response) -> usize {
        0
    }

    fn finish(self, _: Option<String>) -> Result<(), XmlError> {
        Ok(())
    }
}

/// 429, 502, 503, 504: somebody answers, but not the server.
fn is_unavailable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// Since when one request waits for a server that asks for patience.
#[derive(Debug, Default)]
struct Patience(Option<Instant>);

impl Patience {
    /// Whether the request is to be sent again after `response`, in its turn. `is_down`: the server was so before.
    fn bears(&mut self, response: &HttpResponse, is_down: bool) -> bool {
        let retry_after = response.retry_after.unwrap_or_default();
        let longest = match response.status {
            429 => LONGEST_PATIENCE,
            503 if !retry_after.is_zero() => LONGEST_PATIENCE,
            503 if !is_down => DOUBTFUL_PATIENCE,
            _ => return false,
        };
        let now = Instant::now();
        now.duration_since(*self.0.get_or_insert(now)).saturating_add(retry_after) <= longest
    }
}

/// Where a redirection from `url` leads, on the same server.
fn redirected(url: &Url, location: &str) -> Result<Url, CaldavError> {
    let elsewhere = |to: &str| CaldavError::Redirected { url: url.to_string(), to: to.to_owned() };
    let to = url.join(location).map_err(|_| elsewhere(location))?;
    // Another scheme is another origin: neither is the login sent elsewhere, nor without encryption.
    if to.origin() == url.origin() {
        return Ok(to);
    }
    let mut encrypted = to.clone();
    if url.scheme() == "https" && to.scheme() == "http" && to.host() == url.host() {
        let same_port = encrypted.set_scheme("https").and_then(|()| encrypted.set_port(url.port()));
        if same_port.is_ok() {
            let (url, to, instead) = (url.to_string(), to.to_string(), encrypted.to_string());
            return Err(CaldavError::Unencrypted { url, to, instead });
        }
    }
    Err(elsewhere(to.as_str()))
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::redirected;

    /// Where a redirection leads, or `refused`.
    fn to(from: &str, location: &str) -> String {
        redirected(&Url::parse(from).unwrap(), location).map_or("refused".to_owned(), |url| url.to_string())
    }

    #[test]
    fn redirections_stay_on_the_server_and_keep_the_encryption() {
        let from = "https://dav.example.org/cal/";
        assert_eq!(to(from, "/dav/"), "https://dav.example.org/dav/");
        assert_eq!(to(from, "work/"), "https://dav.example.org/cal/work/");
        assert_eq!(to(from, "https://dav.example.org:443/x"), "https://dav.example.org/x");
        for elsewhere in [
            "http://dav.example.org/cal/",
            "https://dav.example.org:8443/cal/",
            "https://dav.example.org.evil.example/cal/",
            "https://evil.example/cal/",
            "//evil.example/cal/",
            "https://dav.example.org@evil.example/",
            "file:///etc/passwd",
            "gopher://dav.example.org/",
            "https://[",
        ] {
            assert_eq!(to(from, elsewhere), "refused", "{elsewhere}");
        }
        // A server that does not know that it is behind TLS: what to write keeps the encryption.
        let told = |location: &str| {
            let url = Url::parse("https://dav.example.org:8443/.well-known/caldav").unwrap();
            redirected(&url, location).unwrap_err().to_string()
        };
        for location in ["http://dav.example.org/dav.php/", "http://dav.example.org:8080/dav.php/"] {
            let told = told(location);
            assert!(told.contains(&format!("redirects to {location}, without encryption")), "{told}");
            assert!(told.contains("write https://dav.example.org:8443/dav.php/ as the source's url"), "{told}");
        }
        assert!(told("http://dav.example.com/").contains("where the login is not sent"));
        // From plain HTTP, which is for this machine, to TLS is another origin as well: the address is to be written
        // down.
        assert_eq!(to("http://127.0.0.1:5232/", "https://127.0.0.1:5232/"), "refused");
    }
}

//! The client of a CalDAV server: what WebDAV adds to HTTP. A multistatus is read while it comes in, and any other
//! response has a meaning for the calendars.

use std::sync::Arc;

use reqwest::Url;

use super::body::collect;
use super::error::CaldavError;
use super::message::{Multistatus, ResponseOrigin, said_no};
use super::multistatus::{self, Collect};
use super::xml::XmlError;
use crate::config::{CaldavSettings, ResponseLimits};
use crate::http::{
    Body, BodyReader, ClientError, ClientSettings, Hosts, HttpClient, HttpError, HttpFailure, HttpLimits, HttpRequest,
    HttpResponse, HttpTransport, Method,
};

/// The header by which the login of a proxy says whom it acts for, for servers that know it: Cyrus.
const AUTHORIZE_AS: &str = "Authorize-As";
/// The status of a response that is a multistatus.
const MULTISTATUS: u16 = 207;

/// A client of one server, logged in.
#[derive(Debug)]
pub struct DavClient {
    http: HttpClient,
    limits: ResponseLimits,
    /// Whom the login acts for.
    authorize_as: Option<String>,
}

impl DavClient {
    /// A client for the server at `url`, of whose responses no more is read than `limits` allow.
    pub fn new(url: &Url, settings: &CaldavSettings, limits: ResponseLimits) -> DavClient {
        let client = ClientSettings {
            credentials: settings.credentials.clone(),
            ca_file: settings.ca_file.clone(),
            client_certificate: settings.client_certificate.clone(),
            timeout: settings.timeout,
        };
        let bounds = HttpLimits {
            max_response_size: limits.max_response_size,
            max_redirects: limits.max_redirects,
            max_retry_after: limits.max_retry_after,
        };
        DavClient { http: HttpClient::new(url, client, bounds), limits, authorize_as: settings.authorize_as.clone() }
    }

    /// This client, whose requests go by `transport`.
    pub fn over(self, transport: Arc<dyn HttpTransport>) -> DavClient {
        DavClient { http: self.http.over(transport), ..self }
    }

    /// This client, which shares what is known of its server at `url`, and its access tokens, with others in `hosts`.
    pub fn sharing(self, hosts: &Hosts, url: &Url) -> DavClient {
        DavClient { http: self.http.on(hosts.host(url)).sharing_tokens(hosts), ..self }
    }

    /// The client below WebDAV: its secret, its server, and how many requests it has sent.
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// What is read of responses at most.
    pub fn limits(&self) -> &ResponseLimits {
        &self.limits
    }

    /// Sends `request` and reads the response, whatever its status. A server that is busy is waited for, within bounds.
    ///
    /// # Errors
    /// [`CaldavError::Settings`], and those of the way there and back: [`CaldavError::Unreachable`], `Broken`, `Tls`,
    /// `Timeout`, `Redirected`, `Unencrypted`, `Moved`, `RedirectLoop`, `TooLarge`.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, CaldavError> {
        Ok(self.http.send(self.acting(request)).await?)
    }

    /// Sends `request` and reads the multistatus that answers it, as it comes in, into what `collector` makes; it makes
    /// another one when the request is sent again.
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
        let reader = || MultistatusReader { limits: &self.limits, collector: collector() };
        let received = self.http.send_and_read(self.acting(request), reader).await?;
        let response = received.response;
        let Some(found) = received.read else { return Err(self.refusal(method, &response)) };
        let refused = |error| CaldavError::Xml { url: response.url.to_string(), method: method.name(), error };
        let found = found.map_err(refused)?;
        Ok(Multistatus { origin: ResponseOrigin { method, url: response.url, date: response.date }, found })
    }

    /// `request`, which says whom the login acts for.
    fn acting(&self, request: HttpRequest) -> HttpRequest {
        match &self.authorize_as {
            Some(user) => request.with_header(AUTHORIZE_AS, user.clone()),
            None => request,
        }
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
            401 => {
                let obstacle = self.http.login_obstacle(&response.challenges);
                let offers = obstacle.map(|obstacle| format!("; {obstacle}")).unwrap_or_default();
                let keys = self.http.credentials().keys();
                CaldavError::Unauthorized { url, offers, keys }
            }
            _ if response.is_unavailable() => {
                CaldavError::Unavailable { url, status, retry_after: response.retry_after }
            }
            _ => said_no(url, method, status),
        }
    }
}

/// Reads the bodies that are a multistatus.
struct MultistatusReader<'l, C> {
    limits: &'l ResponseLimits,
    collector: C,
}

impl<C: Collect> BodyReader for MultistatusReader<'_, C> {
    type Read = Result<C::Found, XmlError>;

    fn reads(&self, status: u16) -> bool {
        status == MULTISTATUS
    }

    async fn read(self, body: &mut Body) -> Result<Self::Read, HttpFailure> {
        collect(body, self.limits, self.collector).await
    }

    fn read_whole(self, body: &[u8]) -> Self::Read {
        multistatus::read(&String::from_utf8_lossy(body), self.limits, self.collector)
    }
}

impl From<ClientError> for CaldavError {
    fn from(error: ClientError) -> CaldavError {
        match error {
            ClientError::Settings(reason) => CaldavError::Settings(reason),
            ClientError::LoginRefused(reason) => CaldavError::TokenRefused(reason),
            ClientError::Later { reason, retry_after } => CaldavError::NoToken { reason, retry_after },
        }
    }
}

impl From<HttpError> for CaldavError {
    fn from(error: HttpError) -> CaldavError {
        match error {
            HttpError::Client(error) => error.into(),
            HttpError::Unreachable { url, reason } => CaldavError::Unreachable { url, reason },
            HttpError::Broken { url, reason } => CaldavError::Broken { url, reason },
            HttpError::Tls { url, reason } => CaldavError::Tls { url, reason },
            HttpError::Timeout { url, seconds, next } => CaldavError::Timeout { url, seconds, next },
            HttpError::TooLarge { url, limit } => CaldavError::TooLarge { url, limit },
            HttpError::Redirected { url, to } => CaldavError::Redirected { url, to },
            HttpError::Unencrypted { url, to, instead } => CaldavError::Unencrypted { url, to, instead },
            HttpError::Moved { url, to } => CaldavError::Moved { url, to },
            HttpError::RedirectLoop { url, limit } => CaldavError::RedirectLoop { url, limit },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_redirections_keeps_the_encryption() {
        let (url, to) = ("https://dav.example.org:8443/.well-known/caldav", "http://dav.example.org/dav.php/");
        let instead = "https://dav.example.org:8443/dav.php/".to_owned();
        let error = HttpError::Unencrypted { url: url.to_owned(), to: to.to_owned(), instead };
        let refused = CaldavError::from(error).to_string();
        assert!(refused.contains(&format!("redirects to {to}, without encryption")), "{refused}");
        assert!(refused.contains("write https://dav.example.org:8443/dav.php/ as the source's url"), "{refused}");
        let error = HttpError::Redirected { url: url.to_owned(), to: "http://dav.example.com/".to_owned() };
        assert!(CaldavError::from(error).to_string().contains("where the login is not sent"));
    }
}

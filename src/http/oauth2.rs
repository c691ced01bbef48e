//! Access tokens for a refresh token (RFC 6749, 6): one is asked for at the token endpoint of an authorization server
//! when it is needed, and kept in memory until shortly before it expires. Clients that use the same refresh token share
//! what comes of it: a server may replace it each time. No message holds a secret.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::body::{Body, unless_silent};
use super::builder::{ClientError, client_builder, tls_config};
use super::message::{HttpFailure, HttpResponse, response_head};
use crate::tables::{OAuth2Settings, Secret, SecretError, SecretRef};

/// Octets of a response that are read.
const MAX_RESPONSE: usize = 256 * 1024;
/// An access token is no longer used so long before it expires, or half of its time.
const MARGIN: Duration = Duration::from_secs(60);
/// A shorter time that a token is valid counts as this one: if it is no longer valid, the calendar server says so.
const SHORTEST: Duration = Duration::from_secs(20);
/// A longer one counts as this one.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Characters of an explanation that are shown.
const MAX_EXPLANATION: usize = 200;

/// Gets access tokens for one refresh token.
#[derive(Clone, Debug)]
pub struct TokenClient {
    settings: OAuth2Settings,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    /// Locked while one of the clients of the refresh token asks for an access token.
    tokens: Arc<AsyncMutex<Tokens>>,
}

/// What the clients of one refresh token share.
#[derive(Debug, Default)]
struct Tokens {
    /// The access token that was got last, and what for.
    granted: Option<(Grant, AccessToken)>,
    /// A refresh token that could not be written.
    unwritten: Option<Unwritten>,
    /// Why there was none when it was asked for last, and when that was known.
    failure: Option<(ClientError, Instant)>,
}

/// A refresh token that the server has put in the place of the one that is `kept`.
#[derive(Debug)]
struct Unwritten {
    kept: Secret,
    token: Secret,
}

/// Which refresh token it is: where it is used, and where it and the name of its client are kept.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TokenKey {
    token_url: String,
    client_id: SecretRef,
    refresh_token: SecretRef,
}

/// All refresh tokens that are in use.
#[derive(Clone, Debug, Default)]
pub struct RefreshTokens(Arc<Mutex<HashMap<TokenKey, Weak<AsyncMutex<Tokens>>>>>);

/// An access token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token (RFC 6750).
    pub token: Secret,
    /// Until when it is used; none if only the calendar server can tell.
    pub until: Option<Instant>,
    /// The file of the refresh token was written.
    pub has_written: bool,
}

/// What is sent to the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    client_id: Secret,
    client_secret: Option<Secret>,
    refresh_token: Secret,
}

/// What the token endpoint has answered with (RFC 6749, 5.1).
struct Granted {
    token: Secret,
    lasts: Option<Duration>,
    /// In the place of the one that was sent.
    refresh_token: Option<Secret>,
}

impl RefreshTokens {
    /// What the clients of the refresh token in `settings` share.
    fn of(&self, settings: &OAuth2Settings) -> Arc<AsyncMutex<Tokens>> {
        let OAuth2Settings { client_id, refresh_token, token_url, .. } = settings.clone();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, tokens| tokens.strong_count() > 0);
        let known = known.entry(TokenKey { token_url, client_id, refresh_token }).or_default();
        known.upgrade().unwrap_or_else(|| {
            let tokens = Arc::default();
            *known = Arc::downgrade(&tokens);
            tokens
        })
    }
}

impl TokenClient {
    /// For the refresh token that `settings` name. The endpoint may be silent for `timeout`, and its certificate may be
    /// of the authorities in `ca_file`.
    pub fn new(settings: &OAuth2Settings, ca_file: Option<PathBuf>, timeout: Duration) -> TokenClient {
        TokenClient { settings: settings.clone(), ca_file, timeout, tokens: Arc::default() }
    }

    /// This client, which shares what comes of its refresh token with the others in `all` that use the same one.
    #[must_use]
    pub fn sharing(self, all: &RefreshTokens) -> TokenClient {
        TokenClient { tokens: all.of(&self.settings), ..self }
    }

    /// What is sent to the token endpoint, as it is kept now.
    ///
    /// # Errors
    /// [`SecretError`] when some of it cannot be had.
    pub fn grant(&self) -> Result<Grant, SecretError> {
        Ok(Grant {
            client_id: self.settings.client_id.read()?,
            client_secret: self.settings.client_secret.as_ref().map(SecretRef::read).transpose()?,
            refresh_token: self.settings.refresh_token.read()?,
        })
    }

    /// Gets an access token: a new one, unless the one that was got last is still of use. A refresh token that comes
    /// with it is written in the place of the one that is kept (RFC 6749, 6), or, where that is not possible, kept in
    /// memory: this goes on to its end even if nobody waits for it any more.
    ///
    /// # Errors
    /// [`ClientError`] when there is none.
    pub async fn fetch(&self) -> Result<AccessToken, ClientError> {
        let client = self.clone();
        let fetching = async move { client.fetch_in_turn().await }.instrument(tracing::Span::current());
        tokio::spawn(fetching).await.unwrap_or_else(|why| {
            let reason = format!("no access token was got from {}: {why}", self.shown());
            Err(ClientError::Later { reason, retry_after: None })
        })
    }

    /// The calendar server does not accept the access token `refused`: it is not of use any more.
    pub async fn forget(&self, refused: &Secret) {
        let mut tokens = self.tokens.lock().await;
        tokens.granted = tokens.granted.take().filter(|(_, granted)| granted.token != *refused);
    }

    async fn fetch_in_turn(&self) -> Result<AccessToken, ClientError> {
        let since = Instant::now();
        let mut tokens = self.tokens.lock().await;
        // Another client may have asked meanwhile.
        if let Some((error, _)) = tokens.failure.as_ref().filter(|(_, at)| *at > since) {
            return Err(error.clone());
        }
        let fetched = self.fetch_alone(&mut tokens).await;
        tokens.failure = fetched.as_ref().err().map(|error| (error.clone(), Instant::now()));
        fetched
    }

    async fn fetch_alone(&self, tokens: &mut Tokens) -> Result<AccessToken, ClientError> {
        let read = || self.grant().map_err(|error| ClientError::Settings(error.to_string()));
        let mut kept = read()?;
        let is_of_use = |granted: &AccessToken| granted.until.is_none_or(|until| Instant::now() < until);
        if let Some((_, granted)) = tokens.granted.as_ref().filter(|(of, granted)| *of == kept && is_of_use(granted)) {
            return Ok(AccessToken { has_written: false, ..granted.clone() });
        }
        let mut asked = self.ask(&kept, tokens).await;
        if matches!(asked, Err(ClientError::LoginRefused(_))) {
            // Another process may have got a refresh token in the place of the one that was read.
            let now = read()?;
            if now != kept {
                kept = now;
                asked = self.ask(&kept, tokens).await;
            }
        }
        let granted = asked?;
        let mut has_written = false;
        if let Some(token) = granted.refresh_token.filter(|token| *token != kept.refresh_token) {
            has_written = self.keep(&kept.refresh_token, &token, tokens).await;
            if has_written {
                kept.refresh_token = token;
            }
        }
        let until = granted.lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        let access = AccessToken { token: granted.token, until, has_written };
        tokens.granted = Some((kept, access.clone()));
        Ok(access)
    }

    /// Keeps the refresh token `token`, which the server has put in the place of `kept`. Whether it was written.
    async fn keep(&self, kept: &Secret, token: &Secret, tokens: &mut Tokens) -> bool {
        let (place, new) = (self.settings.refresh_token.clone(), token.clone());
        let replace = move || place.replace(&new).map_err(|error| error.to_string());
        let replaced = tokio::task::spawn_blocking(replace).await;
        match replaced.unwrap_or_else(|why| Err(why.to_string())) {
            Ok(()) => {
                tokens.unwritten = None;
                true
            }
            Err(why) => {
                if tokens.unwritten.is_none() {
                    tracing::warn!(
                        "{} has replaced the refresh token: the new one is lost when Reveille stops, because {why}",
                        self.shown()
                    );
                }
                tokens.unwritten = Some(Unwritten { kept: kept.clone(), token: token.clone() });
                false
            }
        }
    }

    async fn ask(&self, grant: &Grant, tokens: &Tokens) -> Result<Granted, ClientError> {
        // The one that is kept, unless the server has put another one in its place.
        let newer = tokens.unwritten.as_ref().filter(|unwritten| unwritten.kept == grant.refresh_token);
        let refresh_token = newer.map_or(&grant.refresh_token, |unwritten| &unwritten.token).clone();
        let response = self.send(grant, &refresh_token).await?;
        let answer = serde_json::from_slice::<Value>(&response.body).ok().filter(Value::is_object);
        match answer {
            Some(answer) if response.status == 200 => self.granted(&answer),
            Some(answer) if matches!(response.status, 400..=403) && text(&answer, "error").is_some() => {
                let secrets = [Some(&grant.client_id), grant.client_secret.as_ref(), Some(&refresh_token)];
                Err(ClientError::LoginRefused(self.refusal(&answer, &secrets)))
            }
            _ => Err(self.no_answer(&response)),
        }
    }

    async fn send(&self, grant: &Grant, refresh_token: &Secret) -> Result<HttpResponse, ClientError> {
        let url = Url::parse(&self.settings.token_url);
        let url = url.map_err(|why| ClientError::Settings(format!("token_url is not a URL: {why}")))?;
        let is_encrypted = url.scheme() == "https";
        let tls = tls_config(is_encrypted, self.ca_file.as_deref(), None)?;
        let client = client_builder(self.timeout, is_encrypted, tls).timeout(self.timeout).build();
        let client = client.map_err(|why| ClientError::Settings(format!("no HTTP client: {why}")))?;
        let request = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form(grant, refresh_token));
        let answered = async {
            let incoming = unless_silent(self.timeout, request.send()).await?;
            let mut response = response_head(url, incoming.status().as_u16(), incoming.headers());
            let mut body = Body::new(incoming, self.timeout, MAX_RESPONSE);
            while let Some(piece) = body.next().await? {
                response.body.extend_from_slice(&piece);
            }
            Ok(response)
        };
        answered.await.map_err(|failure| self.failure(failure))
    }

    /// Reads a response that grants a token (RFC 6749, 5.1).
    fn granted(&self, answer: &Value) -> Result<Granted, ClientError> {
        let later =
            |reason: &str| ClientError::Later { reason: format!("{} {reason}", self.shown()), retry_after: None };
        let token = text(answer, "access_token").filter(|token| is_token(token));
        let token = token.ok_or_else(|| later("answers without an access token that can be sent: check token_url"))?;
        if text(answer, "token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("Bearer")) {
            return Err(later("gives a token that is not of the type Bearer, which Reveille cannot use"));
        }
        // Some servers write the number as a text.
        let lasts = answer.get("expires_in").and_then(|lasts| lasts.as_u64().or_else(|| lasts.as_str()?.parse().ok()));
        let lasts = lasts.map(|seconds| {
            let lasts = Duration::from_secs(seconds).clamp(SHORTEST, LONGEST);
            lasts - MARGIN.min(lasts / 2)
        });
        let refresh_token = text(answer, "refresh_token").filter(|token| is_token(token)).map(Secret::new);
        Ok(Granted { token: Secret::new(token), lasts, refresh_token })
    }

    /// What an error response means (RFC 6749, 5.2). It does not repeat any of `secrets`.
    fn refusal(&self, answer: &Value, secrets: &[Option<&Secret>]) -> String {
        let OAuth2Settings { client_id, client_secret, refresh_token, .. } = &self.settings;
        let code = text(answer, "error").unwrap_or_default();
        let what = match code {
            "invalid_grant" => format!(
                "the refresh token was revoked or has expired: get a new one, and put it where {} says",
                refresh_token.key()
            ),
            "invalid_client" => {
                let secret = client_secret.as_ref().map_or("client_secret_file", SecretRef::key);
                format!("it does not know this client or its secret: check {} and {secret}", client_id.key())
            }
            "unauthorized_client" => "this client may not use a refresh token: check its settings there".to_owned(),
            "invalid_scope" => "the refresh token is not for calendars: get one for the right scope".to_owned(),
            "unsupported_grant_type" => "it gives no tokens for refresh tokens: check token_url".to_owned(),
            "invalid_request" => "it does not understand the request: check token_url".to_owned(),
            _ => "it does not accept the refresh token".to_owned(),
        };
        let is_code = !code.is_empty() && code.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_');
        let code = if is_code && code.len() <= 40 { format!(" ({code})") } else { String::new() };
        let said = text(answer, "error_description").unwrap_or_default().trim();
        let tells = secrets.iter().flatten().any(|secret| said.contains(secret.expose()));
        let is_shown = !said.is_empty() && !tells && said.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let cut: String = said.chars().take(MAX_EXPLANATION).collect();
        let said = if is_shown { format!("; it says: {cut}") } else { String::new() };
        format!("{} refuses to give an access token{code}: {what}{said}", self.shown())
    }

    /// What a response means that neither grants a token nor says why not.
    fn no_answer(&self, response: &HttpResponse) -> ClientError {
        let (url, status) = (self.shown(), response.status);
        let kind = response.content_type.split(';').next().unwrap_or_default().trim();
        let kind = if kind.is_empty() { String::new() } else { format!(" and {kind}") };
        let reason = match status {
            429 | 500.. => format!("{url} gives no access token now ({status}): it is asked again"),
            300..=399 => format!("{url} redirects ({status}), where secrets are not sent: check token_url"),
            _ => format!("{url} is not a token endpoint: it answers with {status}{kind}; check token_url"),
        };
        ClientError::Later { reason, retry_after: response.retry_after }
    }

    fn failure(&self, failure: HttpFailure) -> ClientError {
        let url = self.shown();
        let reason = match failure {
            HttpFailure::TimedOut => format!("{url} did not answer within {} s", self.timeout.as_secs()),
            HttpFailure::TooLarge => {
                format!("{url} is not a token endpoint: it answers with too much; check token_url")
            }
            HttpFailure::Tls(why) | HttpFailure::TlsEnded(why) => {
                format!("there is no secure connection to {url}: {why}")
            }
            HttpFailure::Unreachable(why) => format!("{url} cannot be reached ({why})"),
            HttpFailure::Broken(why) => format!("{url} did not answer to the end ({why})"),
        };
        let reason = format!("{reason}; it gives the access tokens of this source and is asked again");
        ClientError::Later { reason, retry_after: None }
    }

    /// The token endpoint, without a query.
    fn shown(&self) -> String {
        self.settings.token_url.split('?').next().unwrap_or_default().to_owned()
    }
}

/// The body of the request (RFC 6749, 6 and 2.3.1).
fn form(grant: &Grant, refresh_token: &Secret) -> String {
    let Ok(mut url) = Url::parse("http://localhost/") else { return String::new() };
    {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("grant_type", "refresh_token");
        pairs.append_pair("refresh_token", refresh_token.expose());
        pairs.append_pair("client_id", grant.client_id.expose());
        if let Some(secret) = &grant.client_secret {
            pairs.append_pair("client_secret", secret.expose());
        }
    }
    url.query().unwrap_or_default().to_owned()
}

/// The text of the member `name` of a JSON object.
fn text<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer.get(name)?.as_str()
}

/// Whether `text` can be a token: visible ASCII (RFC 6749, A.12 and A.17).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(token_url: &str) -> TokenClient {
        let settings = OAuth2Settings {
            client_id: SecretRef::written("client_id", "id & co"),
            client_secret: Some(SecretRef::written("client_secret_file", "s+cret")),
            refresh_token: SecretRef::written("refresh_token_file", "1//r"),
            token_url: token_url.to_owned(),
        };
        TokenClient::new(&settings, None, Duration::from_secs(5))
    }

    #[test]
    fn the_request_is_a_form() {
        let client = client("https://auth.example.org/token");
        let grant = client.grant().unwrap();
        assert_eq!(
            form(&grant, &grant.refresh_token),
            "grant_type=refresh_token&refresh_token=1%2F%2Fr&client_id=id+%26+co&client_secret=s%2Bcret"
        );
        let public = Grant { client_secret: None, ..grant };
        assert!(!form(&public, &public.refresh_token).contains("client_secret"));
    }

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
        let client = client("https://auth.example.org/token");
        let lasts = |expires_in: Value| {
            let answer = json!({"access_token": "ya29.x", "token_type": "bearer", "expires_in": expires_in});
            client.granted(&answer).unwrap().lasts.map(|lasts| lasts.as_secs())
        };
        assert_eq!([lasts(json!(3_599)), lasts(json!("3599"))], [Some(3_539); 2]);
        assert_eq!([lasts(json!(60)), lasts(json!(0)), lasts(json!(u64::MAX))], [Some(30), Some(10), Some(86_340)]);
        assert_eq!([lasts(json!(null)), lasts(json!(-5))], [None, None]);
        for wrong in [
            json!({"token_type": "Bearer"}),
            json!({"access_token": "", "token_type": "Bearer"}),
            json!({"access_token": "a\r\nX: y", "token_type": "Bearer"}),
            json!({"access_token": "a", "token_type": "mac"}),
        ] {
            assert!(matches!(client.granted(&wrong), Err(ClientError::Later { .. })), "{wrong}");
        }
    }

    #[test]
    fn refusals_say_what_to_do_and_repeat_no_secret() {
        let client = client("https://auth.example.org/token?key=k3y");
        let told = |code: &str, said: &str| {
            let secret = Secret::new("s+cret");
            client.refusal(&json!({"error": code, "error_description": said}), &[Some(&secret), None])
        };
        assert_eq!(
            told("invalid_grant", "Token has been expired or revoked."),
            "https://auth.example.org/token refuses to give an access token (invalid_grant): the refresh token was revoked \
             or has expired: get a new one, and put it where refresh_token_file says; it says: Token has been expired or \
             revoked."
        );
        assert!(told("invalid_client", "").ends_with("check client_id and client_secret_file"));
        let quiet = told("<b>", "the secret s+cret is wrong");
        assert!(!quiet.contains("s+cret") && !quiet.contains("<b>") && !quiet.contains("k3y"), "{quiet}");
        assert!(!told("invalid_scope", "a\nb").contains("it says"));
        assert!(told("x", &"y".repeat(1_000)).len() < 400);
    }
}

//! How a CalDAV source gets access tokens for a refresh token, and what it does when there are none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use reveille::config::{Credentials, OAuth2Settings, SecretRef};
use reveille::http::{ClientSettings, Hosts, HttpClient, HttpLimits, HttpRequest, Method};
use serde_json::json;

use crate::daemon::Daemon;
use crate::faults::wait_until;
use crate::login::{PATIENCE, configured, error, told_to_nobody, write};
use crate::proxied::{CERTIFICATE, TlsProxy, address};
use crate::quirks::Server;
use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::{Watch, settings};

/// An authorization server, and what a calendar server accepts from it.
#[derive(Default)]
struct Authority {
    /// The refresh token that is valid.
    refresh_token: String,
    /// Each response has another refresh token.
    rotates: bool,
    /// The access tokens so far, of which the last is valid.
    tokens: usize,
    /// Answers before all else.
    instead: Option<Reply>,
}

impl Authority {
    fn access_token(&self) -> String {
        format!("at-{}~", self.tokens)
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(reply) = &self.instead {
            return reply.clone();
        }
        let said = |name: &str| {
            let pairs = Url::parse(&format!("http://x/?{}", asked.body)).unwrap();
            pairs.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!((asked.method.as_str(), said("grant_type").as_deref()), ("POST", Some("refresh_token")));
        if (said("client_id").as_deref(), said("client_secret").as_deref()) != (Some("reveille"), Some("cl1ent&secret"))
        {
            return Reply::status(401).body(json!({"error": "invalid_client"}).to_string());
        }
        if said("refresh_token").as_deref() != Some(&self.refresh_token) {
            let said = json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."});
            return Reply::status(400).body(said.to_string());
        }
        self.tokens += 1;
        let mut granted = json!({"access_token": self.access_token(), "token_type": "Bearer", "expires_in": 3_600});
        if self.rotates {
            self.refresh_token = format!("1//r-{}", self.tokens);
            granted["refresh_token"] = json!(self.refresh_token);
        }
        Reply::status(200).header("Content-Type", "application/json").body(granted.to_string())
    }
}

/// A calendar server that lets in whoever has the last access token of an authorization server.
struct Site {
    server: Server,
    endpoint: Scripted,
    authority: Arc<Mutex<Authority>>,
}

impl Site {
    fn start() -> Site {
        let authority = Authority { refresh_token: "1//refresh".to_owned(), ..Authority::default() };
        let authority = Arc::new(Mutex::new(authority));
        let (server, gate, answers) = (Server::start(), authority.clone(), authority.clone());
        server.put("a.ics", "1", "a");
        server.quirk(move |asked, _| {
            let is_right =
                asked.header("authorization") == Some(&format!("Bearer {}", gate.lock().unwrap().access_token()));
            (!is_right).then(|| Reply::status(401).header("WWW-Authenticate", "Bearer"))
        });
        Site { server, endpoint: Scripted::start(move |asked| answers.lock().unwrap().answer(asked)), authority }
    }

    fn with(&self, change: impl FnOnce(&mut Authority)) {
        change(&mut self.authority.lock().unwrap());
    }

    fn token_url(&self) -> String {
        format!("{}token", self.endpoint.url)
    }

    /// The key `oauth2`, with files in the folder of the configuration.
    fn lines(&self) -> String {
        format!(
            "oauth2 = {{ client_id = \"reveille\", client_secret_file = \"client\", refresh_token_file = \"refresh\", \
             token_url = \"{}\" }}",
            self.token_url()
        )
    }

    fn credentials(&self, refresh_token: SecretRef) -> Credentials {
        Credentials::OAuth2(Box::new(OAuth2Settings {
            client_id: SecretRef::written("client_id", "reveille"),
            client_secret: Some(SecretRef::inline("cl1ent&secret")),
            refresh_token,
            token_url: self.token_url(),
        }))
    }

    fn watch(&self, refresh_token: SecretRef) -> Watch {
        let (source, mut settings) = settings(&self.server.scripted.url, None);
        settings.credentials = self.credentials(refresh_token);
        Watch::with(&source, &settings)
    }
}

const SECRETS: [&str; 6] = ["cl1ent&secret", "cl1ent%26secret", "1//refresh", "1%2F%2Frefresh", "1//newer", "at-"];

#[test]
fn an_access_token_is_kept_until_the_server_refuses_it_and_a_revoked_grant_waits_for_another_one() {
    let site = Site::start();
    let folder = configured(&site.server.scripted.url, &site.lines());
    write(folder.path(), "client", "cl1ent&secret\n", 0o600);
    write(folder.path(), "refresh", "1//refresh\n", 0o600);
    let mut daemon = Daemon::start(folder.path(), &["-vv", "run"]);
    let logged = |daemon: &Daemon, told: &str| {
        assert!(daemon.log.find(PATIENCE, |line| line.contains(told)).is_some(), "{told}: {}", daemon.log.text());
    };
    logged(&daemon, "calendars=1 changes=1");
    let wait_for_polls = |daemon: &Daemon| {
        let mut asked = 0;
        wait_until(
            || {
                asked += site.server.scripted.asked().len();
                asked > 2
            },
            || daemon.log.text(),
        );
    };
    wait_for_polls(&daemon);
    assert_eq!(site.endpoint.asked().len(), 1, "one token serves for many requests");
    // It expires early: one request is refused, and the next has another token.
    site.with(|authority| authority.tokens += 1);
    wait_until(|| site.authority.lock().unwrap().tokens == 3, || daemon.log.text());
    wait_for_polls(&daemon);
    assert_eq!(site.endpoint.asked().len(), 1);
    assert!(!daemon.log.text().contains("cannot be read"), "{}", daemon.log.text());
    // The grant is revoked: that is said once, and nothing is asked until there is another refresh token.
    site.with(|authority| {
        authority.refresh_token = "1//newer".to_owned();
        authority.tokens += 1;
    });
    logged(&daemon, "(invalid_grant): the refresh token was revoked or has expired");
    let told = error(folder.path()).unwrap();
    assert!(
        told.contains("put it where refresh_token_file says") && told.contains("once the secret is another"),
        "{told}"
    );
    assert_eq!(site.endpoint.asked().len(), 1);
    write(folder.path(), "refresh", "1//refresh\n", 0o600);
    write(folder.path(), "refresh", "1//newer\n", 0o600);
    logged(&daemon, "can be read again");
    assert!(daemon.stop(PATIENCE).success());
    assert!(SECRETS.iter().all(|secret| !daemon.log.text().contains(secret)), "{}", daemon.log.text());
    let log = told_to_nobody(folder.path(), &SECRETS, &["client", "refresh"]);
    assert!(log.contains("sync finished"), "{log}");
    write(folder.path(), "client", "cl1ent&secret-wrong", 0o600);
    let log = told_to_nobody(folder.path(), &SECRETS, &["client", "refresh"]);
    assert!(
        log.contains("(invalid_client): it does not know this client") && log.contains("client_secret_file"),
        "{log}"
    );
}

#[test]
fn what_a_token_endpoint_answers_is_said_and_what_may_pass_is_tried_again_by_time() {
    let site = Site::start();
    let html =
        |status| Reply::status(status).header("Content-Type", "text/html; charset=utf-8").body("<html>Hello</html>");
    for (reply, told, is_transient, retry_after) in [
        (
            Reply::status(400).body("{\"error\": \"invalid_scope\"}"),
            "(invalid_scope): the refresh token is not for",
            false,
            None,
        ),
        (html(200), "is not a token endpoint: it answers with 200 and text/html; check token_url", true, None),
        (html(404), "is not a token endpoint: it answers with 404 and text/html; check token_url", true, None),
        (html(503), "gives no access token now (503)", true, None),
        (Reply::status(429).header("Retry-After", "120"), "gives no access token now (429)", true, Some(120)),
        (Reply::status(503).header("Retry-After", "999999"), "gives no access token now (503)", true, Some(3_600)),
        (Reply::status(302).header("Location", "http://127.0.0.1:1/"), "redirects (302)", true, None),
        (Reply::status(200).body("{}"), "answers without an access token", true, None),
        (Reply::status(200).body(vec![b'['; 300_000]), "it answers with too much", true, None),
        (Reply::hang_up(), "did not answer to the end", true, None),
    ] {
        site.with(|authority| authority.instead = Some(reply));
        let error = site.watch(SecretRef::inline("1//refresh")).try_sync().unwrap_err();
        assert!(error.to_string().contains(&format!("{} ", site.token_url())), "{error}");
        assert!(error.to_string().contains(told), "{told}: {error}");
        assert_eq!(
            (error.is_transient(), error.retry_after().map(|pause| pause.as_secs())),
            (is_transient, retry_after)
        );
        assert!(site.server.scripted.asked().is_empty(), "nothing is asked without a token");
    }
}

/// A client of `site` with the refresh token in `place`.
fn client(site: &Site, place: SecretRef) -> (HttpClient, Url) {
    let url = Url::parse(&format!("{}cal/", site.server.scripted.url)).unwrap();
    let settings = ClientSettings {
        credentials: site.credentials(place),
        ca_file: None,
        client_certificate: None,
        timeout: Duration::from_secs(20),
    };
    let limits =
        HttpLimits { max_response_size: 100_000, max_redirects: 1, max_retry_after: Duration::from_secs(3_600) };
    (HttpClient::new(&url, settings, limits), url)
}

fn propfind(url: &Url) -> HttpRequest {
    HttpRequest::new(Method::new("PROPFIND"), url).with_header("Depth", "1")
}

#[tokio::test]
async fn a_token_is_fetched_once_for_requests_at_the_same_time_and_again_before_it_expires() {
    let site = Site::start();
    let (client, url) = client(&site, SecretRef::inline("1//refresh"));
    let send = async || client.send(propfind(&url)).await.unwrap().status;
    assert_eq!(tokio::join!(send(), send(), send()), (207, 207, 207));
    assert_eq!(site.endpoint.asked().len(), 1);
    site.with(|authority| authority.tokens += 1);
    assert_eq!(tokio::join!(send(), send(), send()), (207, 207, 207));
    assert_eq!(site.endpoint.asked().len(), 1, "one fetches it for all that were refused");
    for (seconds, fetched) in [(3_500, 0), (60, 1)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        assert_eq!((send().await, site.endpoint.asked().len()), (207, fetched), "{seconds} s later");
    }
    assert!(site.server.scripted.asked().iter().filter(|asked| asked.header("authorization").is_none()).count() == 0);
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_refresh_token_that_the_server_replaces_is_written_into_its_file_or_kept_in_memory() {
    let site = Site::start();
    site.with(|authority| authority.rotates = true);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "real", "1//refresh\n", 0o400);
    let file = folder.path().join("refresh");
    std::os::unix::fs::symlink("real", &file).unwrap();
    let mut watch = site.watch(SecretRef::file("refresh_token_file", file.clone()));
    watch.sync();
    watch.sync();
    assert_eq!(site.endpoint.asked().len(), 1, "that the file was written is no reason to fetch another token");
    assert_eq!(fs::read_to_string(&file).unwrap(), "1//r-1\n");
    assert_eq!((mode(&file), fs::read_dir(folder.path()).unwrap().count()), (0o400, 2));
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    // Another process, and then this one again, which has not seen that.
    site.watch(SecretRef::file("refresh_token_file", file.clone())).sync();
    watch.sync();
    assert_eq!(fs::read_to_string(&file).unwrap(), "1//r-3\n");
    // What cannot be written is kept until there is something else.
    let mut watch = site.watch(SecretRef::inline("1//r-3"));
    for n in [4, 5] {
        watch.sync();
        assert_eq!(site.authority.lock().unwrap().tokens, n);
        site.with(|authority| authority.tokens += 100);
        watch.sync();
        site.with(|authority| authority.tokens = n);
    }
}

/// A folder, and where the refresh token of an authority that replaces it each time is in it.
fn rotating(site: &Site) -> (tempfile::TempDir, PathBuf, SecretRef) {
    site.with(|authority| authority.rotates = true);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "refresh", "1//refresh\n", 0o600);
    let file = folder.path().join("refresh");
    let place = SecretRef::file("refresh_token_file", file.clone());
    (folder, file, place)
}

#[test]
fn a_refresh_token_that_the_server_replaces_is_written_although_nobody_waits_any_more() {
    let site = Site::start();
    let (_folder, file, place) = rotating(&site);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (client, url) = client(&site, place);
    let client = Arc::new(client);
    let send = || {
        let (client, url) = (client.clone(), url.clone());
        async move { client.send(propfind(&url)).await.unwrap().status }
    };
    let held = site.authority.lock().unwrap();
    let waiting = runtime.spawn(send());
    wait_until(|| !site.endpoint.asked().is_empty(), || "the endpoint was not asked".to_owned());
    waiting.abort();
    assert!(runtime.block_on(waiting).unwrap_err().is_cancelled());
    drop(held);
    wait_until(|| fs::read_to_string(&file).unwrap() == "1//r-1\n", || fs::read_to_string(&file).unwrap());
    assert_eq!((runtime.block_on(send()), site.endpoint.asked().len()), (207, 0), "its access token is used");
}

#[tokio::test]
async fn clients_with_the_same_refresh_token_ask_for_an_access_token_one_at_a_time() {
    let site = Site::start();
    let (_folder, file, place) = rotating(&site);
    let hosts = Hosts::default();
    let [one, two, three] = [(); 3].map(|()| {
        let (client, url) = client(&site, place.clone());
        (client.sharing_tokens(&hosts), url)
    });
    let send =
        async |(client, url): &(HttpClient, Url)| client.send(propfind(url)).await.map(|response| response.status).ok();
    let all = async || <[_; 3]>::from(tokio::join!(send(&one), send(&two), send(&three)));
    site.with(|authority| authority.instead = Some(Reply::status(503)));
    assert_eq!((all().await, site.endpoint.asked().len()), ([None; 3], 1), "one fails for all that wait");
    site.with(|authority| authority.instead = None);
    assert_eq!((all().await, site.endpoint.asked().len()), ([Some(207); 3], 1));
    assert_eq!(fs::read_to_string(&file).unwrap(), "1//r-1\n");
    // What the calendar server refuses is not handed out again.
    site.with(|authority| authority.tokens += 1);
    assert_eq!((all().await, site.endpoint.asked().len()), ([Some(207); 3], 1));
    assert_eq!((all().await, site.endpoint.asked().len()), ([Some(207); 3], 0), "nor is the file read as another one");
    assert_eq!(fs::read_to_string(&file).unwrap(), "1//r-3\n");
}

#[test]
fn sources_with_the_same_refresh_token_share_its_access_token() {
    let site = Site::start();
    let (_folder, _, place) = rotating(&site);
    let hosts = Hosts::default();
    for _ in 0..3 {
        let watch = site.watch(place.clone());
        Watch { source: watch.source.sharing(&hosts), ..watch }.sync();
    }
    assert_eq!(site.endpoint.asked().len(), 3, "the state of those that are gone is gone");
    let watches = [(); 3].map(|()| site.watch(place.clone()));
    let mut watches = watches.map(|watch| Watch { source: watch.source.sharing(&hosts), ..watch });
    for watch in &mut watches {
        watch.sync();
    }
    assert_eq!(site.endpoint.asked().len(), 1);
}

#[test]
fn the_certificate_authorities_of_the_source_hold_for_its_token_endpoint() {
    let site = Site::start();
    let (tokens, calendars) =
        (TlsProxy::start(address(&site.endpoint)), TlsProxy::start(address(&site.server.scripted)));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ca.pem", CERTIFICATE, 0o644);
    let (source, mut settings) = settings(&calendars.url("/"), None);
    settings.ca_file = Some(folder.path().join("ca.pem"));
    settings.credentials = site.credentials(SecretRef::inline("1//refresh"));
    if let Credentials::OAuth2(oauth2) = &mut settings.credentials {
        oauth2.token_url = tokens.url("/token");
    }
    Watch::with(&source, &settings).sync();
    settings.url = site.server.scripted.url.clone();
    settings.ca_file = None;
    let error = Watch::with(&source, &settings).failure();
    assert!(error.contains(&format!("no secure connection to {}", tokens.url("/token"))), "{error}");
}

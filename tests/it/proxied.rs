//! CalDAV servers behind proxies that they do not know of: one that ends TLS, so that the server takes its own
//! addresses for `http`, and one that takes a prefix off the path, so that the server leaves it out of what it answers.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

use crate::quirks::{CALENDAR, Server, found, versions};
use crate::rehearsal::Stage;
use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::Watch;

/// A certificate for 127.0.0.1 that signs itself, and its key.
pub const CERTIFICATE: &str = include_str!("proxied/server.pem");
pub const KEY: &str = include_str!("proxied/server.key");

const MARY: Option<(&str, &str)> = Some(("mary", "sesame"));

/// A proxy that ends TLS and passes on what is in it; it stops when dropped.
pub struct TlsProxy {
    address: SocketAddr,
    _runtime: Runtime,
}

impl TlsProxy {
    /// Starts one in front of `backend`.
    pub fn start(backend: SocketAddr) -> TlsProxy {
        TlsProxy::offering(backend, None, &[b"http/1.1"])
    }

    /// Likewise, one that lets in only clients with a certificate of the authority `clients`, as PEM, and chooses no
    /// protocol.
    pub fn asking(backend: SocketAddr, clients: &str) -> TlsProxy {
        TlsProxy::offering(backend, Some(clients), &[])
    }

    /// Likewise, one that chooses of `protocols`.
    pub fn offering(backend: SocketAddr, clients: Option<&str>, protocols: &[&[u8]]) -> TlsProxy {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = match clients {
            None => config.unwrap().with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.unwrap().with_client_cert_verifier(verifier)
            }
        };
        let mut config = config.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inside = acceptor.accept(stream).await?;
                    copy_bidirectional(&mut inside, &mut TcpStream::connect(backend).await?).await
                });
            }
        });
        TlsProxy { address, _runtime: runtime }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

/// The address of a server.
pub fn address(server: &Scripted) -> SocketAddr {
    server.url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

/// A server whose answers name `http` URLs on the host that was asked, with a port as `port` makes it of that, and the
/// proxy before it.
fn behind_tls(port: fn(&str) -> String) -> (Server, Scripted, TlsProxy) {
    let server = Server::start();
    let state = server.state.clone();
    let outer = Scripted::start(move |asked| {
        let reply = state.lock().unwrap().answer(asked);
        let (name, asked_port) = asked.header("host").unwrap().split_once(':').unwrap();
        let absolute = format!("<D:href>http://{name}{}/", port(asked_port));
        let body = String::from_utf8(reply.body).unwrap().replace("<D:href>/", &absolute);
        Reply { body: body.into_bytes(), ..reply }
    });
    let proxy = TlsProxy::start(address(&outer));
    (server, outer, proxy)
}

/// A proxy before `server` that takes `/dav` off the path, and has something else at every other path.
fn stripping(server: &Server) -> Scripted {
    let state = server.state.clone();
    Scripted::start(move |asked| match asked.path.strip_prefix("/dav") {
        Some(path) => state.lock().unwrap().answer(&Asked { path: path.to_owned(), ..asked.clone() }),
        None => Reply::status(404).header("Content-Type", "text/html").body("<html>Nothing here</html>"),
    })
}

/// What `check` says of the account at `url` and whether it is in order, and the same of a first pass of `run`.
fn checked_and_run(url: &str, stage: &Stage) -> [(bool, String); 2] {
    let file = |name: &str, text: &str| {
        fs::write(stage.path().join(name), text).unwrap();
        fs::set_permissions(stage.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    file("password", "sesame");
    file("ca.pem", CERTIFICATE);
    let ca_file = if url.starts_with("https") { "ca_file = \"ca.pem\"\n" } else { "" };
    let path = stage.path().display();
    file(
        "reveille.toml",
        &format!(
            "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[[source]]\nkind = \"caldav\"\nname = \"mary\"\nurl = \"{url}\"\n\
             username = \"mary\"\npassword_file = \"password\"\n{ca_file}\
             [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"{path}/alarms.jsonl\"\n"
        ),
    );
    let checked = String::from_utf8(stage.reveille(&["check", "--json"]).stdout).unwrap();
    let mut findings = checked.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = findings.find(|finding| finding["what"] == "source").unwrap();
    let run = stage.reveille(&["run", "--once"]);
    let log = String::from_utf8(run.stderr).unwrap();
    [(found["ok"] == true, found["found"].as_str().unwrap().to_owned()), (run.status.success(), log)]
}

#[test]
fn a_server_that_does_not_know_that_it_is_behind_https_is_read_by_https_alone() {
    let ports: [fn(&str) -> String; 3] = [|asked| format!(":{asked}"), |_| String::new(), |_| ":8080".to_owned()];
    for port in ports {
        let (server, outer, proxy) = behind_tls(port);
        server.put("a.ics", "1", "a");
        // Objects one by one too, whose addresses are those of the listing.
        server.quirk(|asked, _| asked.line().ends_with("calendar-multiget").then(|| Reply::status(500)));
        for path in ["/", "/cal/", "/cal/work/"] {
            let stage = Stage::new();
            let [check, run] = checked_and_run(&proxy.url(path), &stage);
            assert!(check.0 && check.1.contains(": 1 of 1 calendars watched: work"), "{path}: {check:?}");
            assert!(run.0 && run.1.contains("calendars=1 changes=1"), "{path}: {run:?}");
            assert!(outer.lines().contains(&"GET /cal/work/a.ics".to_owned()), "{path}");
            assert_eq!(stage.listing(&["calendars"])[0]["objects"], 1, "{path}");
        }
    }
}

#[test]
fn a_proxy_that_takes_a_prefix_off_is_named_by_check_and_run() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let proxy = stripping(&server);
    for (path, asked, href) in [
        ("", "dav/", "/"),
        ("dav/", "dav/", "/"),
        ("dav/mary/", "dav/mary/", "/mary/"),
        ("dav/cal/", "dav/cal/", "/cal/"),
        ("dav/cal/work/", "dav/cal/work/", "/cal/work/"),
    ] {
        let url = &proxy.url;
        let told = format!(
            "{url}{asked} answers with hrefs outside of it ({href}), which lead nowhere: a proxy takes /dav off the path"
        );
        for (is_well, said) in checked_and_run(&format!("{url}{path}"), &Stage::new()) {
            assert!(!is_well && said.contains(&told) && said.contains("X-Script-Name"), "{path}: {said}");
        }
    }
}

#[test]
fn a_prefix_that_is_taken_off_from_now_on_takes_no_calendar_away() {
    // The proxy passes on a path as it is, and so the server knows the prefix; later it is taken off.
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let (state, strips) = (server.state.clone(), Arc::<AtomicBool>::default());
    let from_now_on = strips.clone();
    let proxy = Scripted::start(move |asked| {
        let Some(path) = asked.path.strip_prefix("/dav") else { return Reply::status(404) };
        let body = asked.body.replace("<D:href>/dav/", "<D:href>/");
        let reply = state.lock().unwrap().answer(&Asked { path: path.to_owned(), body, ..asked.clone() });
        if from_now_on.load(Ordering::SeqCst) {
            return reply;
        }
        let body = String::from_utf8(reply.body).unwrap().replace("<D:href>/", "<D:href>/dav/");
        Reply { body: body.into_bytes(), ..reply }
    });
    let mut watch = Watch::of(&format!("{}dav/cal/", proxy.url), MARY);
    assert_eq!((watch.sync().calendars, watch.kept.summaries("/dav/cal/work/")), (1, vec!["a".to_owned()]));
    strips.store(true, Ordering::SeqCst);
    let told = watch.failure();
    assert!(told.contains("hrefs outside of it (/cal/work/)") && told.contains("takes /dav off"), "{told}");
    assert_eq!(watch.kept.summaries("/dav/cal/work/"), ["a"]);
}

/// A proxy before `server` that passes on every path, with `/dav` before it and without; without, it answers with
/// `status` instead, unless that is 0.
fn with_two_addresses(server: &Server, status: Arc<AtomicU16>) -> Scripted {
    let state = server.state.clone();
    Scripted::start(move |asked| {
        let path = asked.path.strip_prefix("/dav");
        match (path, status.load(Ordering::SeqCst)) {
            (None, status @ 1..) => Reply::status(status),
            (path, _) => {
                let path = path.unwrap_or(&asked.path).to_owned();
                state.lock().unwrap().answer(&Asked { path, ..asked.clone() })
            }
        }
    })
}

#[test]
fn a_server_with_two_addresses_of_which_one_is_longer_is_read_by_either() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let proxy = with_two_addresses(&server, Arc::default());
    for path in ["", "dav/", "dav/cal/", "dav/cal/work/"] {
        let mut watch = Watch::of(&format!("{}{path}", proxy.url), MARY);
        assert_eq!(watch.sync().calendars, 1, "{path}");
        assert_eq!(watch.kept.summaries("/cal/work/"), ["a"], "{path}");
    }
}

#[test]
fn a_server_that_cannot_answer_now_is_not_taken_for_a_proxy_that_takes_a_prefix_off() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let status = Arc::<AtomicU16>::default();
    let proxy = with_two_addresses(&server, status.clone());
    for path in ["dav/", "dav/cal/", "dav/cal/work/"] {
        for answer in [500, 503] {
            status.store(answer, Ordering::SeqCst);
            let error = Watch::of(&format!("{}{path}", proxy.url), MARY).try_sync().unwrap_err();
            let told = error.to_string();
            assert!(error.is_transient() && told.contains(&answer.to_string()), "{path}, {answer}: {told}");
        }
    }
    // What knows no WebDAV is not the server.
    status.store(501, Ordering::SeqCst);
    let told = Watch::of(&format!("{}dav/cal/", proxy.url), MARY).failure();
    assert!(told.contains("takes /dav off"), "{told}");
}

#[test]
fn whether_a_server_has_two_addresses_is_asked_once() {
    let server = Server::start();
    server.put("a.ics", "1", "a");
    let proxy = with_two_addresses(&server, Arc::default());
    for path in ["dav/cal/", "dav/cal/work/"] {
        let mut watch = Watch::of(&format!("{}{path}", proxy.url), MARY);
        let mut asked = || {
            watch.sync();
            let is_check = |asked: &&Asked| asked.path.starts_with("/cal/") && asked.header("depth") == Some("0");
            proxy.asked().iter().filter(is_check).count()
        };
        assert_eq!([asked(), asked(), asked()], [1, 0, 0], "{path}");
    }
}

#[test]
fn a_home_that_is_a_calendar_is_not_asked_whether_it_is_there() {
    let server = Server::start();
    // Its path ends as it begins.
    let calendar = found("/cal/cal/", &format!("{CALENDAR}{}", versions("t1", "c1")));
    server.quirk(move |asked, _| {
        let home = "<C:calendar-home-set><D:href>/cal/cal/</D:href></C:calendar-home-set>\
                    <D:current-user-principal><D:href>/mary/</D:href></D:current-user-principal>";
        match (asked.path.as_str(), asked.header("depth")) {
            ("/cal/cal/", Some("1")) => Some(Reply::multistatus(&calendar)),
            ("/mary/", Some("0")) => Some(Reply::multistatus(&found("/mary/", home))),
            _ => None,
        }
    });
    let mut watch = Watch::of(&format!("{}mary/", server.scripted.url), MARY);
    assert_eq!(watch.sync().calendars, 1);
    let asked = server.scripted.asked();
    let checks = asked.iter().filter(|asked| asked.path == "/cal/cal/" && asked.header("depth") == Some("0"));
    assert_eq!(checks.count(), 0, "{:?}", asked.iter().map(Asked::line).collect::<Vec<_>>());
}

//! A server that speaks HTTP/2 if a client offers it by ALPN, and what it does with requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use h2::Reason;
use h2::server::SendResponse;
use hyper::body::Bytes;
use hyper::http::{Request, Response};
use reveille::source::caldav::CaldavError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

use crate::proxied::{CERTIFICATE, KEY};
use crate::quirks::{HOME, Server, State};
use crate::scripted::{Asked, Reply};
use crate::watch::{Watch, settings};

/// How a request is not processed to which the answer is [`Reply::hang_up`].
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// The stream is reset: REFUSED_STREAM (RFC 9113, 8.7).
    Stream,
    /// The connection ends with GOAWAY (RFC 9113, 6.8).
    Connection,
}

/// Connections so far, and requests, as [`Asked::line`].
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    lines: Mutex<Vec<String>>,
}

/// The running server; it stops when dropped.
struct Http2 {
    address: SocketAddr,
    seen: Arc<Seen>,
    ca_file: tempfile::NamedTempFile,
    _runtime: Runtime,
}

impl Http2 {
    /// Starts one that answers as `server` does.
    fn start(server: &Server, refusal: Refusal) -> Http2 {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let mut config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, state) = (Arc::<Seen>::default(), server.state.clone());
        let by = seen.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                by.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, acceptor.clone(), state.clone(), by.clone(), refusal));
            }
        });
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca_file.path(), CERTIFICATE).unwrap();
        Http2 { address, seen, ca_file, _runtime: runtime }
    }

    fn watch(&self) -> Watch {
        let (source, mut settings) = settings(&format!("https://{}/", self.address), Some(("mary", "sesame")));
        settings.ca_file = Some(self.ca_file.path().to_owned());
        Watch::with(&source, &settings)
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The requests since this was asked last.
    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lines.lock().unwrap())
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<Mutex<State>>, seen: Arc<Seen>, refusal: Refusal) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (end, mut ending) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                tokio::spawn(answer(request, respond, state.clone(), seen.clone(), (refusal, end.clone())));
            }
            _ = ending.recv() => connection.abrupt_shutdown(Reason::NO_ERROR),
        }
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: Arc<Mutex<State>>,
    seen: Arc<Seen>,
    (refusal, end): (Refusal, tokio::sync::mpsc::Sender<()>),
) {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(part)) = incoming.data().await {
        incoming.flow_control().release_capacity(part.len()).unwrap();
        body.extend_from_slice(&part);
    }
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
    };
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        headers: head.headers.iter().map(header).collect(),
        body: String::from_utf8(body).unwrap(),
    };
    seen.lines.lock().unwrap().push(asked.line());
    let reply = state.lock().unwrap().answer(&asked);
    match (reply.status, refusal) {
        (0, Refusal::Stream) => respond.send_reset(Reason::REFUSED_STREAM),
        (0, Refusal::Connection) => end.send(()).await.unwrap(),
        (status, _) => {
            let mut response = Response::builder().status(status);
            for (name, value) in &reply.headers {
                response = response.header(*name, value);
            }
            let mut sending = respond.send_response(response.body(()).unwrap(), false).unwrap();
            sending.send_data(Bytes::from(reply.body), true).unwrap();
        }
    }
}

/// A server with ten objects.
fn ten() -> Server {
    let server = Server::start();
    (0..10).for_each(|n| server.put(&format!("{n}.ics"), "1", &n.to_string()));
    server
}

#[test]
fn a_server_that_offers_http_2_is_spoken_to_by_that() {
    let server = ten();
    let http2 = Http2::start(&server, Refusal::Stream);
    let mut watch = http2.watch();
    assert_eq!(watch.sync().changes, 10);
    assert_eq!(watch.sync().changes, 0);
    assert!(http2.lines().len() > 4 && server.scripted.lines().is_empty());
    assert_eq!(http2.connections(), 1);
}

#[test]
fn a_request_that_http_2_has_not_processed_is_sent_once_more() {
    for refusal in [Refusal::Stream, Refusal::Connection] {
        let server = ten();
        let http2 = Http2::start(&server, refusal);
        let mut watch = http2.watch();
        watch.sync();
        let mut refused = 0;
        server.quirk(move |_, _| {
            refused += 1;
            (refused % 2 == 1).then(Reply::hang_up)
        });
        http2.lines();
        assert_eq!(watch.sync().changes, 0, "{refusal:?}");
        assert_eq!(http2.lines(), [HOME, HOME], "{refusal:?}");
        server.quirk(|_, _| Some(Reply::hang_up()));
        let error = watch.try_sync().unwrap_err();
        assert!(matches!(error, CaldavError::Broken { .. }) && error.is_transient(), "{refusal:?}: {error}");
        assert_eq!(http2.lines(), [HOME, HOME], "{refusal:?}");
        println!("{refusal:?}: {error}");
    }
}

//! Serving HTTP connections, each within limits, until it is to stop.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// How long a connection that could not be accepted lets others wait: there may be no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// Octets of the head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// How much connections may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// Connections at the same time; others wait until one has ended.
    pub connections: usize,
    /// How long the head of a request may take, from the beginning of the connection or the end of the last response.
    pub head: Duration,
    /// How long a connection may last.
    pub lifetime: Duration,
}

/// Accepts connections with `accept`, which gives what opens each of them, and serves them with `routes`, until `stop`
/// resolves.
pub(super) async fn serve<S, O, A>(accept: impl Fn() -> A, routes: Router, limits: ConnectionLimits, stop: impl Future)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    O: Future<Output = io::Result<S>> + Send + 'static,
    A: Future<Output = io::Result<O>>,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (accept().await, slot.ok())
        };
        tokio::select! {
            _ = &mut stop => return,
            // Those that have ended.
            Some(_) = connections.join_next() => {}
            (opening, slot) = next => match opening {
                Ok(opening) => drop(connections.spawn(serve_one(opening, routes.clone(), limits, slot))),
                Err(error) => {
                    tracing::debug!("a connection could not be accepted: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

/// Serves the connection that `opening` comes to; `slot` is free again afterwards.
async fn serve_one<S, O>(opening: O, routes: Router, limits: ConnectionLimits, slot: Option<OwnedSemaphorePermit>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    O: Future<Output = io::Result<S>> + Send + 'static,
{
    let Ok(Ok(stream)) = tokio::time::timeout(limits.head, opening).await else {
        tracing::debug!("a connection could not be opened");
        return;
    };
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    match tokio::time::timeout(limits.lifetime, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection has ended: {error}"),
        Err(_) => tracing::debug!("a connection has lasted too long"),
    }
    drop(slot);
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::{Mutex, mpsc};
    use tokio::time::Instant;

    use super::*;

    const LIMITS: ConnectionLimits =
        ConnectionLimits { connections: 2, head: Duration::from_secs(10), lifetime: Duration::from_secs(60) };

    /// What comes back on `stream`, until it is closed.
    async fn answer(stream: &mut DuplexStream) -> String {
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets).await;
        String::from_utf8(octets).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_or_greedy_client_holds_up_nobody() {
        let (sender, receiver) = mpsc::unbounded_channel::<DuplexStream>();
        let receiver = Arc::new(Mutex::new(receiver));
        let accept = move || {
            let receiver = receiver.clone();
            async move {
                let stream: io::Result<DuplexStream> =
                    receiver.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe.into());
                stream.map(|stream| std::future::ready(Ok(stream)))
            }
        };
        let routes = Router::new().route("/", post(async |body: String| body.len().to_string()));
        tokio::spawn(serve(accept, routes, LIMITS, std::future::pending::<()>()));
        let connect = async |text: &str| {
            let (mut here, there) = duplex(64 * 1024);
            here.write_all(text.as_bytes()).await.unwrap();
            sender.send(there).unwrap();
            here
        };
        let began = Instant::now();
        let mut slow = [connect("POST / HTTP/1.1\r\nHost:").await, connect("").await];
        let mut good = connect("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert!(answer(&mut good).await.starts_with("HTTP/1.1 200"));
        assert_eq!(began.elapsed().as_secs(), 10, "there is room once a slow one is given up");
        for stream in &mut slow {
            assert!(!answer(stream).await.contains("200"));
        }
        let began = Instant::now();
        let mut endless = connect("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx").await;
        assert_eq!(answer(&mut endless).await, "");
        assert_eq!(began.elapsed().as_secs(), 60);
        let mut greedy = connect(&format!("POST / HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(MAX_HEAD))).await;
        assert!(answer(&mut greedy).await.starts_with("HTTP/1.1 431"));
    }
}

//! The admin port: HTTP at an address and a port.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::connections::{ConnectionLimits, serve};
use super::tls_files::TlsFiles;

/// Anybody may connect.
const LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 128, head: Duration::from_secs(10), lifetime: Duration::from_secs(60) };
/// An address that cannot be listened at is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Serves `routes` at `listen`, by TLS if there is a certificate, until `stop` resolves. As long as the address is
/// taken or not there, it is tried again: alarms do not wait for it.
pub async fn serve_port(listen: SocketAddr, tls: Option<TlsFiles>, routes: Router, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let listener = tokio::select! {
        listener = bind(listen) => listener,
        () = &mut stop => return,
    };
    let port = listener.local_addr().map_or(listen.port(), |address| address.port());
    tracing::info!(admin.address = %listen.ip(), admin.port = port, "the admin port is open");
    let tls = Arc::new(tls);
    let accept = async || listener.accept().await.map(|(stream, _)| secured(stream, tls.clone()));
    serve(accept, routes, LIMITS, stop).await;
}

/// A connection, encrypted or not.
trait AdminStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> AdminStream for S {}

/// What is said by `stream`, after the handshake if there is TLS.
async fn secured(stream: TcpStream, tls: Arc<Option<TlsFiles>>) -> io::Result<Box<dyn AdminStream>> {
    match &*tls {
        None => Ok(Box::new(stream)),
        Some(files) => {
            let acceptor = files.acceptor().map_err(io::Error::other)?;
            Ok(Box::new(acceptor.accept(stream).await?))
        }
    }
}

async fn bind(listen: SocketAddr) -> TcpListener {
    let mut is_logged = false;
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => return listener,
            Err(why) if !is_logged => {
                is_logged = true;
                tracing::warn!("the admin port {listen} cannot be opened, and is tried again: {why}");
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

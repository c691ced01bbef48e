//! The admin port: HTTP at an address and a port.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;

use super::connections::{ConnectionLimits, serve};
use super::guard::{AdminGuard, guard};

/// Anybody may connect.
const LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 128, head: Duration::from_secs(10), lifetime: Duration::from_secs(60) };
/// An address that cannot be listened at is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Serves `routes` at `listen` to whom `admin_guard` allows it, until `stop` resolves. As long as the address is taken
/// or not there, it is tried again: alarms do not wait for it.
pub async fn serve_port(
    listen: SocketAddr,
    routes: Router,
    admin_guard: Arc<AdminGuard>,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let routes = routes.layer(from_fn_with_state(admin_guard, guard));
    let listener = tokio::select! {
        listener = bind(listen) => listener,
        () = &mut stop => return,
    };
    let port = listener.local_addr().map_or(listen.port(), |address| address.port());
    tracing::info!(admin.address = %listen.ip(), admin.port = port, "the admin port is open");
    serve(async || listener.accept().await.map(|(stream, _)| stream), routes, LIMITS, stop).await;
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

//! What clients are built of: the settings of connections, and those of TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::silence::Silence;
use crate::tables::{ClientCertificate, SecretError};
use crate::tls::{ClientIdentity, client_config};

/// How long a connection may take to come up, where the source's timeout is longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is silent before the other end is asked whether it is still there, and how long until that is
/// repeated.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What is offered to servers that are spoken to by TLS (RFC 7301), the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there is no client that is logged in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// A file that the settings name cannot be used, or no client can be made.
    #[error("{0}")]
    Settings(String),
    /// The authorization server gives no access token for the refresh token.
    #[error("{0}")]
    LoginRefused(String),
    /// There is no access token now, and there may be one later.
    #[error("{reason}")]
    Later {
        /// Why.
        reason: String,
        /// How long the authorization server asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl From<SecretError> for ClientError {
    fn from(error: SecretError) -> ClientError {
        ClientError::Settings(error.to_string())
    }
}

/// What a client is built of that uses `tls`, of a server that may be silent for `timeout`.
pub fn client_builder(timeout: Duration, is_encrypted: bool, tls: ClientConfig) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("reveille/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .timeout(Silence::new(timeout).whole())
        // A machine that is gone while its response is waited for is noticed within a minute.
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(3)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT))
        // Requests follow one another: one connection is enough. One of HTTP/2 carries those of the same time too.
        .pool_max_idle_per_host(1)
        // A connection of HTTP/2 outlives a request that times out: one that is dead has to be noticed.
        .http2_keep_alive_interval(KEEPALIVE)
        .http2_keep_alive_timeout(KEEPALIVE)
        // Requests are sent again in one place, whatever has broken them.
        .retry(retry::never())
        .tls_backend_preconfigured(tls);
    // A request without encryption must not leave this machine by way of a proxy.
    if is_encrypted { builder } else { builder.no_proxy() }
}

/// The TLS settings: what this machine trusts and `ca_file`, and the certificate that is `shown`.
///
/// # Errors
/// [`ClientError::Settings`] when a file cannot be used.
pub fn tls_config(
    is_encrypted: bool,
    ca_file: Option<&Path>,
    shown: Option<&ClientCertificate>,
) -> Result<ClientConfig, ClientError> {
    if is_encrypted || ca_file.is_some() {
        let key = shown.map(|shown| shown.key.read()).transpose()?;
        let identity = shown.zip(key.as_ref());
        let identity =
            identity.map(|(shown, key)| ClientIdentity { certificate: &shown.certificate, key: key.expose() });
        let config = client_config(ca_file, identity).map_err(|why| ClientError::Settings(why.to_string()))?;
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = PROTOCOLS.map(Vec::from).to_vec();
        return Ok(config);
    }
    // Without encryption no authority is needed, and a machine may have no certificates.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| ClientError::Settings(format!("TLS cannot be set up: {why}")))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

//! `[admin]`: what is served over HTTP, and to whom.

use std::net::SocketAddr;

use crate::tables::{SecretSource, Section, secret, value};

/// `[admin]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address and port that is listened at; none: nothing is served.
    pub listen: Option<SocketAddr>,
    /// Where the token is that requests need; none: who can connect needs none.
    pub token: Option<SecretSource>,
}

/// Reads the table.
pub(super) fn read(section: Section<'_>) -> AdminConfig {
    let listen = section.read("listen", |value| {
        let written = value::string(value)?;
        written.parse::<SocketAddr>().map_err(|_| format!("is '{written}' and must be ADDRESS:PORT, as 127.0.0.1:9464"))
    });
    let token = secret::read_source(&section, &secret::TOKEN);
    match listen {
        Some(listen) if !listen.ip().to_canonical().is_loopback() && token.is_none() => section.report(
            "listen",
            "can be reached from other machines, and no token is given: add token_file, or listen at 127.0.0.1",
        ),
        None if !section.has("listen") && token.is_some() => {
            section.report("listen", "is missing: without it nothing is served, and the token is of no use");
        }
        _ => {}
    }
    section.finish();
    AdminConfig { listen, token }
}

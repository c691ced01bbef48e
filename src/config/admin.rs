//! `[admin]`: what is served over HTTP, and to whom; where Cyrus sends its event notifications.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::tables::{SecretRef, SecretSource, Section, address, secret, value};

/// Every user may write: hints are names and no data.
const SOCKET_MODE: u32 = 0o666;
/// Longer than most people are away from their mail.
const ANSWER_VALID: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `[admin]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address and port that is listened at; none: nothing is served.
    pub listen: Option<SocketAddr>,
    /// Where the token is that requests need; none: who can connect needs none.
    pub token: Option<SecretSource>,
    /// What clients are shown; none: the port is not encrypted.
    pub certificate: Option<ServerCertificate>,
    /// Where calendar servers can reach the port, with a slash at its end; none: no pushes are subscribed to.
    pub push_url: Option<Url>,
    /// Where users can reach the port to answer alarms, with a slash at its end; none: notifications have no links.
    pub answer_url: Option<Url>,
    /// How long after its alarm is due such a link can be used.
    pub answer_valid: Duration,
    /// Where Cyrus sends its event notifications; none: nowhere.
    pub cyrus_socket: Option<CyrusSocket>,
}

/// A socket that Cyrus writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CyrusSocket {
    /// Its file, which the daemon makes.
    pub path: PathBuf,
    /// The mode of that: Cyrus runs as another user.
    pub mode: u32,
}

/// The certificate of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Its PEM file.
    pub certificate: PathBuf,
    /// Where its key is, a PEM file.
    pub key: SecretRef,
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
    let certificate = certificate(&section);
    if certificate.is_some() && !section.has("listen") {
        section.report("certificate", "is given without listen: add the address at which TLS is spoken");
    }
    let push_url = section.read("push_url", |value| push_url(&value::string(value)?));
    if push_url.is_some() && !section.has("listen") {
        section.report("push_url", "is given without listen: add the address at which pushes arrive");
    }
    let answer_url = section.read("answer_url", |value| folder_url(&value::string(value)?));
    if answer_url.is_some() && !section.has("listen") {
        section.report("answer_url", "is given without listen: add the address at which answers arrive");
    }
    let answer_valid = section.read("answer_valid", value::duration);
    if answer_valid.is_some() && !section.has("answer_url") {
        section.report("answer_valid", "is given without answer_url: add where users can reach the port");
    }
    let answer_valid = answer_valid.unwrap_or(ANSWER_VALID);
    let cyrus_socket = cyrus_socket(&section);
    section.finish();
    AdminConfig { listen, token, certificate, push_url, answer_url, answer_valid, cyrus_socket }
}

fn certificate(section: &Section<'_>) -> Option<ServerCertificate> {
    let path = |key| section.read(key, value::string).map(|written| section.path(&written));
    let (certificate, key) = (path("certificate"), path("key"));
    match (&certificate, &key) {
        (Some(_), None) => section.report("certificate", "is given without its key: add key"),
        (None, Some(_)) => section.report("key", "is given without its certificate: add certificate"),
        _ => {}
    }
    Some(ServerCertificate { certificate: certificate?, key: SecretRef::file("key", key?) })
}

fn cyrus_socket(section: &Section<'_>) -> Option<CyrusSocket> {
    let path = section.read("cyrus_socket", value::string).map(|written| section.path(&written));
    let mode = section.read("cyrus_socket_mode", |value| socket_mode(&value::string(value)?));
    if mode.is_some() && !section.has("cyrus_socket") {
        section.report("cyrus_socket_mode", "is given without cyrus_socket: add the path of the socket");
    }
    Some(CyrusSocket { path: path?, mode: mode.unwrap_or(SOCKET_MODE) })
}

fn socket_mode(written: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(written, 8).ok().filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| format!("is '{written}' and must be a mode such as 0666 or 0660"))
}

fn push_url(written: &str) -> Result<Url, String> {
    let url = folder_url(written)?;
    if url.scheme() != "https" {
        return Err("must begin with https://: servers send pushes over TLS only".to_owned());
    }
    Ok(url)
}

/// The address `written`, with a slash at its end.
fn folder_url(written: &str) -> Result<Url, String> {
    let mut url = address::url(written, "https://HOST/")?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("must be an address without a user, a query and a fragment".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

//! TLS: which certificate authorities are trusted, in words why a server is not, and the own certificate. Those of
//! servers are always verified; who speaks over the connection, and what, this module does not know.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore, ServerConfig,
    SignatureScheme,
};

/// What the text of an error begins with that is an alert of the server, before its name.
const ALERT: &str = "received fatal alert: ";

const OLD_VERSIONS: &str =
    "the server speaks only versions of TLS before 1.2, which are not safe: let it speak TLS 1.2 or 1.3";

/// What it means that a server ends a connection as soon as TLS is set up: the rest of a sentence, with what to do.
pub const ENDED: &str = "the server ends the TLS handshake, or the connection right after it: if it asks for a certificate \
    of the client, name one that it accepts with client_certificate and client_key; else its log may say why";

/// What a certificate begins with that is not written as text.
const DER: u8 = 0x30;

/// Why TLS cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of `ca_file` cannot be read, or has no certificate in it.
    #[error("the certificate authorities in {path} cannot be used: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The certificate that is to be shown, or its key, cannot be used.
    #[error("{0}")]
    Identity(String),
    /// No certificate authority is trusted.
    #[error(
        "this machine trusts no certificate authority: install its list of them (Debian: ca-certificates) or name a ca_file"
    )]
    NoRoots,
    /// The library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a client shows to a server that asks for a certificate.
#[derive(Clone, Copy)]
pub struct ClientIdentity<'a> {
    /// The PEM file of its certificate, followed by those of the authorities in between.
    pub certificate: &'a Path,
    /// Its key, as PEM.
    pub key: &'a str,
}

impl std::fmt::Debug for ClientIdentity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientIdentity({} …)", self.certificate.display())
    }
}

impl ClientIdentity<'_> {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let shown = self.certificate.display();
        let certificates = certificates(self.certificate).map_err(|reason| {
            TlsError::Identity(format!("the client_certificate in {shown} cannot be used: {reason}"))
        })?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| {
            let wanted = "-----BEGIN PRIVATE KEY-----, without a password";
            TlsError::Identity(format!("client_key holds no private key: name a PEM file with {wanted}"))
        })?;
        Ok((certificates, key))
    }
}

/// Settings for connections to servers whose certificates the machine's authorities have signed, or those in the PEM
/// file `ca_file`; or whose certificate is itself in that file. To servers that ask for one, `identity` is shown. TLS
/// 1.2 and 1.3.
///
/// # Errors
/// [`TlsError`], when a file cannot be used or there is no authority at all.
pub fn client_config(
    ca_file: Option<&Path>,
    identity: Option<ClientIdentity<'_>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // Single certificates of the machine that cannot be read are no reason to stop.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut named = Vec::new();
    if let Some(path) = ca_file {
        let unusable = |reason: String| TlsError::CaFile { path: path.display().to_string(), reason };
        named = certificates(path).map_err(unusable)?;
        for (certificate, number) in named.iter().zip(1_u32..) {
            let unread = |_| unusable(format!("the certificate number {number} in it cannot be read"));
            roots.add(certificate.clone()).map_err(unread)?;
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let authorities = authorities.map_err(|error| rustls::Error::General(error.to_string()))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { authorities, named }));
    let Some(identity) = identity else { return Ok(Arc::new(config.with_no_client_auth())) };
    let (certificates, key) = identity.read()?;
    let config = config.with_client_auth_cert(certificates, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Identity("client_key is not the key of client_certificate".to_owned())
        }
        error => TlsError::Identity(format!("client_certificate and client_key cannot be used: {error}")),
    })?;
    Ok(Arc::new(config))
}

/// Settings for connections of clients, to which the certificate in the PEM file `certificate` is shown, with those
/// that have signed it; `key` is its key, as PEM. TLS 1.2 and 1.3.
///
/// # Errors
/// [`TlsError`], when they cannot be used.
pub fn server_config(certificate: &Path, key: &str) -> Result<ServerConfig, TlsError> {
    let shown = certificate.display();
    let unusable = |reason: String| TlsError::Identity(format!("the certificate in {shown} cannot be used: {reason}"));
    let certificates = certificates(certificate).map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| TlsError::Identity("key holds no private key: name a PEM file with one".to_owned()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    config.with_no_client_auth().with_single_cert(certificates, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Identity("key is not the key of certificate".to_owned()),
        error => unusable(error.to_string()),
    })
}

/// The certificates in the PEM file at `path`, at least one; or what is wrong with it, the rest of a sentence.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error: pem::Error| pem_words(&error))?;
    if !found.is_empty() {
        return Ok(found);
    }
    let octets = std::fs::read(path).map_err(|error| error.to_string())?;
    let holds = |what: &[u8]| octets.windows(what.len()).any(|part| part == what);
    Err(if holds(b"PRIVATE KEY-----") {
        "there is no certificate in it, but a private key: name the file that begins with -----BEGIN CERTIFICATE-----"
    } else if octets.first() == Some(&DER) {
        "there is no certificate in it as text: if it is DER, 'openssl x509 -inform der -in FILE -out FILE.pem' writes that"
    } else {
        "there is no certificate in it"
    }
    .to_owned())
}

/// Trusts whom the authorities have signed, and the very certificates that the administrator has named. Among these may
/// be one that is an authority of its own, as 'openssl req -x509' makes it, which no authority may use as a server
/// otherwise.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.authorities.verify_server_cert(certificate, intermediates, server_name, ocsp_response, now);
        match verified {
            // Its time has been checked before that was found.
            Err(error) if is_refused_authority(&error) && self.named.contains(certificate) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it is that of an authority.
fn is_refused_authority(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(why) if is_authority(why))
}

/// Whether this is what is wrong with a certificate: basicConstraints CA:TRUE (RFC 5280, 4.2.1.9).
fn is_authority(wrong: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(why)) = wrong else { return false };
    why.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// What is wrong with a PEM file.
fn pem_words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(why) => why.to_string(),
        pem::Error::NoItemsFound => "there is no certificate in it".to_owned(),
        pem::Error::SectionTooLarge => "a part of it is too large for a certificate".to_owned(),
        _ => "it is not a whole PEM file: a part of it has no END line, or holds something else than base64".to_owned(),
    }
}

/// What TLS has against the other side, where `error`, or what it comes from, is about TLS: the rest of a sentence,
/// with what to do.
pub fn in_words(error: &(dyn Error + 'static)) -> Option<String> {
    let mut reason = Some(error);
    while let Some(error) = reason {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(words(tls));
        }
        // HTTP/2 keeps the text alone of what has ended a connection.
        if let Some(alert) = error.to_string().strip_prefix(ALERT) {
            return Some(alert_words(alert));
        }
        // What an error of the system's kind was made of is left out of its chain.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        reason = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(wrong) => certificate_words(wrong),
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS: check the port".to_owned(),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => OLD_VERSIONS.to_owned(),
        rustls::Error::AlertReceived(alert) => alert_words(&format!("{alert:?}")),
        rustls::Error::PeerIncompatible(why) => {
            format!("the server speaks TLS in no way that is safe ({})", spelled(&format!("{why:?}")))
        }
        rustls::Error::PeerMisbehaved(why) => {
            format!("the server breaks the rules of TLS ({})", spelled(&format!("{why:?}")))
        }
        other => other.to_string(),
    }
}

/// What an alert of the server means, by its name.
fn alert_words(alert: &str) -> String {
    match alert {
        "ProtocolVersion" => OLD_VERSIONS.to_owned(),
        "CertificateRequired" => {
            "the server asks for a certificate of the client: name one with client_certificate and client_key"
                .to_owned()
        }
        other => format!("the server ends the TLS handshake ({}): its log may say why", spelled(other)),
    }
}

fn certificate_words(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::UnknownIssuer => "its certificate comes from an authority that this machine does not trust: if that \
            is one of your own, name its certificate with ca_file"
            .to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate was valid until {}: renew it", day(*not_after))
        }
        CertificateError::Expired => "its certificate is no longer valid: renew it".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}: check the clock of this machine", day(*not_before))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet: check the clock of this machine".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } if !presented.is_empty() => {
            // As written in the certificate: DnsName("example.org"), IpAddress(127.0.0.1).
            let name = |name: &String| match name.split_once('(') {
                Some((_, name)) => name.trim_matches(['(', ')', '"']).to_owned(),
                None => name.clone(),
            };
            let presented = presented.iter().map(name).collect::<Vec<_>>().join(", ");
            format!("its certificate is for {presented} and not for {}: write that name in the url", expected.to_str())
        }
        CertificateError::NotValidForNameContext { expected, .. } => format!(
            "its certificate names no host (subjectAltName), and not {}: make one that does",
            expected.to_str()
        ),
        CertificateError::NotValidForName => "its certificate is for another name: write that in the url".to_owned(),
        other => match other.to_string() {
            _ if is_authority(other) => "its certificate is that of an authority (CA:TRUE), which is trusted only where ca_file \
                names that very certificate: do so, or make one for the server: openssl req -x509 -newkey rsa:3072 -nodes \
                -days 3650 -subj /CN=HOST -addext subjectAltName=DNS:HOST -addext basicConstraints=critical,CA:FALSE -keyout \
                server.key -out server.pem"
                .to_owned(),
            text => format!("its certificate cannot be used ({})", spelled(innermost(&text))),
        },
    }
}

/// The day of an instant, `2026-03-10`.
fn day(at: UnixTime) -> String {
    let second = i64::try_from(at.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
    second.map_or_else(|| "a day that is too far away".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// What stands in the innermost brackets of the name of a case: `Other(OtherError(UnsupportedCertVersion))`.
fn innermost(text: &str) -> &str {
    text.rsplit('(').next().unwrap_or(text).trim_end_matches(')')
}

/// The name of a case as words: `HandshakeFailure` becomes `handshake failure`.
fn spelled(name: &str) -> String {
    let mut spelled = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && spelled.ends_with(|before: char| before.is_ascii_lowercase()) {
            spelled.push(' ');
        }
        spelled.push(letter.to_ascii_lowercase());
    }
    spelled
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.pem");
        let error = client_config(Some(&absent), None).unwrap_err().to_string();
        assert!(error.contains("absent.pem"), "{error}");

        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no certificate\n").unwrap();
        let error = client_config(Some(&empty), None).unwrap_err().to_string();
        assert!(error.contains("empty.pem") && error.contains("no certificate"), "{error}");

        let key = folder.path().join("key.pem");
        std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n").unwrap();
        let error = client_config(Some(&key), None).unwrap_err().to_string();
        assert!(error.contains("key.pem") && error.contains("no certificate in it, but a private key"), "{error}");
        std::fs::write(&key, b"\x30\x82\x01\x02").unwrap();
        let error = client_config(Some(&key), None).unwrap_err().to_string();
        assert!(error.contains("openssl x509 -inform der"), "{error}");

        let cut = folder.path().join("cut.pem");
        std::fs::write(&cut, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
        let error = client_config(Some(&cut), None).unwrap_err().to_string();
        assert!(error.contains("cut.pem") && error.contains("has no END line") && !error.contains('['), "{error}");
        std::fs::write(&cut, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let error = client_config(Some(&cut), None).unwrap_err().to_string();
        assert!(error.ends_with("the certificate number 1 in it cannot be read"), "{error}");
    }

    #[test]
    fn what_tls_says_is_put_in_words() {
        let said = |error: rustls::Error| in_words(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap();
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(said(alert), "the server ends the TLS handshake (handshake failure): its log may say why");
        let version = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
        assert!(said(version).starts_with("the server speaks only versions of TLS before 1.2"));
        let encoding = rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        assert_eq!(said(encoding), "its certificate cannot be used (bad encoding)");
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_773_144_000));
        let expired = CertificateError::ExpiredContext { time, not_after: time };
        assert_eq!(
            said(rustls::Error::InvalidCertificate(expired)),
            "its certificate was valid until 2026-03-10: renew it"
        );
        assert_eq!(in_words(&io::Error::other("something else")), None);
    }
}

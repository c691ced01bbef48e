//! The client of a server, made of the files that the settings name: its secret, and its certificate
//! authorities. They are read when the first request needs them, and again when one of them changes: one that is
//! missing or broken fails this client's requests until it is replaced, and nothing else. A command that prints the
//! secret is run then, and again when the server does not accept what it has printed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Url, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::sync::Mutex as AsyncMutex;

use super::login::Login;
use super::message::HttpRequest;
use super::silence::Silence;
use crate::tables::{ClientCertificate, Credentials, FileStamp, SecretSource};
use crate::tls::{ClientIdentity, client_config};

/// How long a connection may take to come up, where the source's timeout is longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is silent before the other end is asked whether it is still there, and how long until that is
/// repeated.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How a client reaches its server.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// What requests are sent with.
    pub credentials: Credentials,
    /// Certificate authorities besides those of this machine.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a server that asks for a certificate.
    pub client_certificate: Option<Box<ClientCertificate>>,
    /// How long the server may be silent.
    pub timeout: Duration,
}

/// A file that the settings name cannot be used, or no client can be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(pub String);

/// What clients are made of, and the one that is in use.
#[derive(Debug)]
pub struct ClientMaker {
    is_encrypted: bool,
    credentials: Credentials,
    ca_file: Option<PathBuf>,
    client_certificate: Option<Box<ClientCertificate>>,
    timeout: Duration,
    made: AsyncMutex<Option<LoggedIn>>,
    /// What was read last, well or not.
    tried: Mutex<Stamps>,
    /// The login that the server did not accept at the last request.
    refused: Mutex<Option<Login>>,
    /// The secret could not be had when it was last needed, and no file says when it can.
    is_unseen: AtomicBool,
}

/// A client and how it logs in.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The versions of the files that it was made of.
    of: Stamps,
    client: Client,
    login: Login,
}

/// The versions of the files that a client is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamps {
    secret: Option<FileStamp>,
    ca_file: Option<FileStamp>,
    /// The client's certificate and its key.
    client_certificate: [Option<FileStamp>; 2],
}

impl ClientMaker {
    /// For the server at `url`. Nothing is read yet.
    pub fn new(url: &Url, settings: ClientSettings) -> ClientMaker {
        ClientMaker {
            is_encrypted: url.scheme() == "https",
            credentials: settings.credentials,
            ca_file: settings.ca_file,
            client_certificate: settings.client_certificate,
            timeout: settings.timeout,
            made: AsyncMutex::default(),
            tried: Mutex::default(),
            refused: Mutex::default(),
            is_unseen: AtomicBool::new(false),
        }
    }

    /// The client, made again if a file has changed since.
    ///
    /// # Errors
    /// [`ClientError`] when the secret or the certificate authorities cannot be used.
    pub async fn get(&self) -> Result<LoggedIn, ClientError> {
        let mut made = self.made.lock().await;
        let now = self.stamps();
        *lock(&self.tried) = now;
        match &*made {
            Some(client) if client.of == now => Ok(client.clone()),
            _ => {
                *made = None;
                let client = self.make(now).await?;
                *made = Some(client.clone());
                Ok(client)
            }
        }
    }

    /// Whether the secret is now another one than that of `refused`, which the server has not accepted.
    ///
    /// # Errors
    /// As for [`ClientMaker::get`].
    pub async fn has_another_login(&self, refused: &LoggedIn) -> Result<bool, ClientError> {
        *lock(&self.refused) = Some(refused.login.clone());
        *self.made.lock().await = None;
        let is_another = self.get().await?.login != refused.login;
        if !is_another && self.credentials.secret().is_some_and(SecretSource::is_printed) {
            // The next sync runs the command again.
            *self.made.lock().await = None;
        }
        Ok(is_another)
    }

    /// The server has accepted a login.
    pub fn is_accepted(&self) {
        *lock(&self.refused) = None;
    }

    /// Whether the secret could not be had and nothing tells when it can: the environment lacks it, or a command
    /// failed.
    pub fn lacks_secret(&self) -> bool {
        self.is_unseen.load(Ordering::Relaxed)
    }

    /// How requests log in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether the secret or the certificate authorities are other ones than those that were read last. A file that was
    /// rewritten with the login that the server has refused does not count: servers lock accounts after repeated
    /// failures.
    pub async fn has_changed(&self) -> bool {
        let (now, before) = (self.stamps(), *lock(&self.tried));
        if now == before {
            return false;
        }
        let refused = lock(&self.refused).clone();
        let is_only_secret = Stamps { secret: before.secret, ..now } == before;
        let is_refused = is_only_secret && refused.is_some() && self.login().await.ok() == refused;
        if is_refused {
            *lock(&self.tried) = now;
        }
        !is_refused
    }

    /// What changes when the secret or the certificate authorities do.
    fn stamps(&self) -> Stamps {
        Stamps {
            secret: self.credentials.secret().and_then(SecretSource::stamp),
            ca_file: self.ca_file.as_deref().and_then(FileStamp::of),
            client_certificate: match &self.client_certificate {
                Some(shown) => [FileStamp::of(&shown.certificate), shown.key.stamp()],
                None => [None, None],
            },
        }
    }

    async fn make(&self, of: Stamps) -> Result<LoggedIn, ClientError> {
        let login = self.login().await?;
        let mut builder = Client::builder()
            .user_agent(concat!("reveille/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(Silence::new(self.timeout).whole())
            // A machine that is gone while its response is waited for is noticed within a minute.
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(3)
            .connect_timeout(self.timeout.min(CONNECT_TIMEOUT))
            // Requests follow one another: one connection is enough.
            .pool_max_idle_per_host(1)
            .tls_backend_preconfigured(self.tls()?);
        if !self.is_encrypted {
            // A request without encryption must not leave this machine by way of a proxy.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|why| ClientError(format!("no HTTP client: {why}")))?;
        Ok(LoggedIn { of, client, login })
    }

    async fn login(&self) -> Result<Login, ClientError> {
        let Some(source) = self.credentials.secret() else { return Ok(Login::None) };
        let secret = source.get().await;
        let is_unseen = secret.is_err() && (source.is_printed() || source.lacks_variable());
        self.is_unseen.store(is_unseen, Ordering::Relaxed);
        let secret = secret.map_err(|error| ClientError(error.to_string()))?;
        Ok(match &self.credentials {
            Credentials::None => Login::None,
            Credentials::Password { username, scheme, .. } => {
                Login::Password { username: username.clone(), password: secret, scheme: *scheme }
            }
            Credentials::Bearer { .. } => Login::Bearer { token: secret },
        })
    }

    /// The TLS settings: what this machine trusts and `ca_file`, and the client's certificate.
    fn tls(&self) -> Result<ClientConfig, ClientError> {
        if self.is_encrypted || self.ca_file.is_some() {
            let key = self.client_certificate.as_ref().map(|shown| shown.key.read()).transpose();
            let key = key.map_err(|error| ClientError(error.to_string()))?;
            let identity = self.client_certificate.as_ref().zip(key.as_ref());
            let identity =
                identity.map(|(shown, key)| ClientIdentity { certificate: &shown.certificate, key: key.expose() });
            let config =
                client_config(self.ca_file.as_deref(), identity).map_err(|why| ClientError(why.to_string()))?;
            return Ok(Arc::unwrap_or_clone(config));
        }
        // Without encryption no authority is needed, and a machine may have no certificates.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|why| ClientError(format!("TLS cannot be set up: {why}")))?;
        Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LoggedIn {
    /// With what it logs in.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// `request` with the header `authorization`, to be sent.
    pub fn prepared(&self, request: &HttpRequest, authorization: Option<HeaderValue>) -> RequestBuilder {
        let mut builder = self.client.request(request.method.to_reqwest(), request.url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value.as_ref());
        }
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        match authorization {
            Some(value) => builder.header(AUTHORIZATION, value),
            None => builder,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::tables::{PasswordScheme, SecretCommand, SecretRef};

    /// Puts another file with this password in the place of the one before.
    fn write(file: &Path, password: &str) {
        let beside = file.with_extension("new");
        fs::write(&beside, password).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&beside, file).unwrap();
    }

    fn maker(password: SecretSource) -> ClientMaker {
        let settings = ClientSettings {
            credentials: Credentials::Password { username: "mary".to_owned(), password, scheme: PasswordScheme::Auto },
            timeout: Duration::from_secs(30),
            ca_file: None,
            client_certificate: None,
        };
        ClientMaker::new(&Url::parse("http://dav.example.org/").unwrap(), settings)
    }

    #[tokio::test]
    async fn a_refused_login_that_is_only_rewritten_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        write(&file, "old");
        let maker = maker(SecretRef::file("password_file", file.clone()).into());
        let used = maker.get().await.unwrap();
        write(&file, "old");
        assert!(maker.has_changed().await, "it has not been refused");
        assert!(!maker.has_another_login(&used).await.unwrap());
        write(&file, "old");
        assert!(!maker.has_changed().await && !maker.has_changed().await);
        write(&file, "new");
        assert!(maker.has_changed().await && maker.has_another_login(&used).await.unwrap());
        maker.is_accepted();
        write(&file, "old");
        assert!(maker.has_changed().await, "what was refused once may be right now");
    }

    #[tokio::test]
    async fn a_command_is_run_once_until_the_server_refuses_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        // Each run prints how many there were; from the third on, the same.
        let script = format!("echo >>{0}; n=$(wc -l <{0}); test $n -lt 3 || n=3; echo $n", runs.display());
        let command = SecretCommand::new("password_command", "sh".to_owned(), vec!["-c".to_owned(), script]);
        let maker = maker(SecretSource::Printed(command));
        let count = || fs::read(&runs).unwrap().len();
        let first = maker.get().await.unwrap();
        maker.get().await.unwrap();
        assert_eq!(count(), 1);
        assert!(!maker.has_changed().await);
        assert!(maker.has_another_login(&first).await.unwrap());
        let second = maker.get().await.unwrap();
        assert_eq!(count(), 2);
        assert!(maker.has_another_login(&second).await.unwrap());
        let third = maker.get().await.unwrap();
        assert!(!maker.has_another_login(&third).await.unwrap());
        assert_eq!(count(), 4, "it was asked whether there is another one");
        maker.get().await.unwrap();
        assert_eq!(count(), 5, "the next sync asks again");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_no_file_that_is_waited_for() {
        let script = vec!["-c".to_owned(), "exit 1".to_owned()];
        let failing = SecretCommand::new("password_command", "sh".to_owned(), script);
        let lacking = maker(SecretSource::Printed(failing));
        assert!(lacking.get().await.is_err() && lacking.lacks_secret());
        let gone = SecretRef::file("password_file", "/nowhere/password".into());
        let waiting = maker(gone.into());
        assert!(waiting.get().await.is_err() && !waiting.lacks_secret());
    }
}

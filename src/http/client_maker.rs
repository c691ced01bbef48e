//! The client of a server, made of the files that the settings name: its secret, and its certificate
//! authorities. They are read when the first request needs them, and again when one of them changes: one that is
//! missing or broken fails this client's requests until it is replaced, and nothing else. A command that prints the
//! secret is run then, and again when the server does not accept what it has printed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use rustls::ClientConfig;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::builder::{ClientError, client_builder, tls_config};
use super::login::Login;
use super::message::HttpRequest;
use super::oauth2::{Grant, RefreshTokens, TokenClient};
use super::public_addresses::PublicResolver;
use crate::tables::{ClientCertificate, Credentials, FileStamp, Secret, SecretRef, SecretSource};

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

/// What clients are made of, and the one that is in use.
#[derive(Debug)]
pub struct ClientMaker {
    is_encrypted: bool,
    /// Whether names may lead to public addresses only.
    is_public_only: bool,
    /// Idle connections that are kept, where one is not enough.
    idle: Option<usize>,
    credentials: Credentials,
    ca_file: Option<PathBuf>,
    client_certificate: Option<Box<ClientCertificate>>,
    timeout: Duration,
    /// Gets access tokens, where those are what logs in.
    tokens: Option<TokenClient>,
    made: AsyncMutex<Option<LoggedIn>>,
    /// What was read last, well or not.
    tried: Mutex<Stamps>,
    /// The secrets that the server did not accept at the last request.
    refused: Mutex<Option<KeptSecrets>>,
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
    secrets: KeptSecrets,
    /// When the login has to be another one, if that is known.
    until: Option<Instant>,
}

/// What was read where the settings say, or printed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeptSecrets {
    None,
    /// A password or a token.
    One(Secret),
    /// What tokens are granted for.
    Grant(Grant),
}

/// The versions of the files that a client is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamps {
    /// The password or the token; or the client's name, its secret and the refresh token.
    secrets: [Option<FileStamp>; 3],
    ca_file: Option<FileStamp>,
    /// The client's certificate and its key.
    client_certificate: [Option<FileStamp>; 2],
}

impl ClientMaker {
    /// For the server at `url`. Nothing is read yet.
    pub fn new(url: &Url, settings: ClientSettings) -> ClientMaker {
        let tokens = match &settings.credentials {
            Credentials::OAuth2(oauth2) => Some(TokenClient::new(oauth2, settings.ca_file.clone(), settings.timeout)),
            _ => None,
        };
        ClientMaker {
            is_encrypted: url.scheme() == "https",
            is_public_only: false,
            idle: None,
            tokens,
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

    /// This maker, which shares access tokens with the others in `all` that use the same refresh token.
    #[must_use]
    pub fn sharing(self, all: &RefreshTokens) -> ClientMaker {
        ClientMaker { tokens: self.tokens.map(|tokens| tokens.sharing(all)), ..self }
    }

    /// This maker, whose clients connect to public addresses only, and use no proxy.
    #[must_use]
    pub fn public_only(self) -> ClientMaker {
        ClientMaker { is_public_only: true, ..self }
    }

    /// The same, whose clients keep so many idle connections.
    #[must_use]
    pub fn keeping(self, connections: usize) -> ClientMaker {
        ClientMaker { idle: Some(connections), ..self }
    }

    /// The client, made again if a file has changed since or its access token is about to expire.
    ///
    /// # Errors
    /// [`ClientError`] when the secret or the certificate authorities cannot be used, or there is no access token.
    pub async fn get(&self) -> Result<LoggedIn, ClientError> {
        let mut made = self.made.lock().await;
        let now = self.stamps();
        *lock(&self.tried) = now;
        let known = made.take().filter(|client| client.of == now);
        let client = match known {
            Some(client) if client.until.is_none_or(|until| Instant::now() < until) => client,
            known => self.make(now, known.map(|known| known.client)).await?,
        };
        *made = Some(client.clone());
        Ok(client)
    }

    /// Whether what the settings name can be used. Nothing is sent.
    ///
    /// # Errors
    /// [`ClientError::Settings`] when it cannot.
    pub async fn ready(&self) -> Result<(), ClientError> {
        match self.tokens {
            Some(_) => self.secrets().await.and(self.tls()).map(drop),
            None => self.get().await.map(drop),
        }
    }

    /// Whether the secret is now another one than that of `refused`, which the server has not accepted.
    ///
    /// # Errors
    /// As for [`ClientMaker::get`].
    pub async fn has_another_login(&self, refused: &LoggedIn) -> Result<bool, ClientError> {
        *lock(&self.refused) = Some(refused.secrets.clone());
        if let (Some(tokens), Login::Bearer { token }) = (&self.tokens, &refused.login) {
            tokens.forget(token).await;
        }
        {
            let mut made = self.made.lock().await;
            // Another request may have got it already.
            if made.as_ref().is_none_or(|made| made.login == refused.login) {
                *made = None;
            }
        }
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
        let is_only_secret = Stamps { secrets: before.secrets, ..now } == before;
        let is_refused = is_only_secret && refused.is_some() && self.secrets().await.ok() == refused;
        if is_refused {
            *lock(&self.tried) = now;
        }
        !is_refused
    }

    /// What changes when the secret or the certificate authorities do.
    fn stamps(&self) -> Stamps {
        let secrets = match &self.credentials {
            Credentials::OAuth2(settings) => [
                settings.client_id.stamp(),
                settings.client_secret.as_ref().and_then(SecretRef::stamp),
                settings.refresh_token.stamp(),
            ],
            _ => [self.credentials.secret().and_then(SecretSource::stamp), None, None],
        };
        Stamps {
            secrets,
            ca_file: self.ca_file.as_deref().and_then(FileStamp::of),
            client_certificate: match &self.client_certificate {
                Some(shown) => [FileStamp::of(&shown.certificate), shown.key.stamp()],
                None => [None, None],
            },
        }
    }

    /// Logs in with what is there in the versions `of`, with `client` if that is of the same.
    async fn make(&self, of: Stamps, client: Option<Client>) -> Result<LoggedIn, ClientError> {
        let secrets = self.secrets().await?;
        let client = match client {
            Some(client) => client,
            None => {
                let mut builder = client_builder(self.timeout, self.is_encrypted, self.tls()?);
                if self.is_public_only {
                    builder = builder.no_proxy().dns_resolver(PublicResolver);
                }
                if let Some(connections) = self.idle {
                    builder = builder.pool_max_idle_per_host(connections);
                }
                builder.build().map_err(|why| ClientError::Settings(format!("no HTTP client: {why}")))?
            }
        };
        let (mut of, mut until) = (of, None);
        let login = match (&self.credentials, &secrets) {
            (Credentials::Password { username, scheme, .. }, KeptSecrets::One(password)) => {
                Login::Password { username: username.clone(), password: password.clone(), scheme: *scheme }
            }
            (Credentials::Bearer { .. }, KeptSecrets::One(token)) => Login::Bearer { token: token.clone() },
            (_, KeptSecrets::Grant(_)) => {
                let token = self.token(&mut of, &mut until).await;
                Login::Bearer { token: token.inspect_err(|error| self.note_refusal(error, &secrets))? }
            }
            _ => Login::None,
        };
        Ok(LoggedIn { of, client, login, secrets, until })
    }

    /// An access token, which is used `until` then. If it came with a refresh token, the version of the file that this
    /// is in is another one in `of`.
    async fn token(&self, of: &mut Stamps, until: &mut Option<Instant>) -> Result<Secret, ClientError> {
        let Some(tokens) = &self.tokens else { return Err(ClientError::Settings("no token endpoint".to_owned())) };
        let fetched = tokens.fetch().await?;
        if fetched.has_written {
            of.secrets = self.stamps().secrets;
            *lock(&self.tried) = *of;
        }
        *until = fetched.until;
        Ok(fetched.token)
    }

    /// Notes that `secrets` were refused, if that is what `error` says: they are not tried again because their file is
    /// written again.
    fn note_refusal(&self, error: &ClientError, secrets: &KeptSecrets) {
        if matches!(error, ClientError::LoginRefused(_)) {
            *lock(&self.refused) = Some(secrets.clone());
        }
    }

    /// Gets the secrets: reads them, or runs the command.
    async fn secrets(&self) -> Result<KeptSecrets, ClientError> {
        if let Some(tokens) = &self.tokens {
            let Credentials::OAuth2(settings) = &self.credentials else { return Ok(KeptSecrets::None) };
            let grant = tokens.grant();
            let is_unseen = grant.is_err() && settings.secrets().any(SecretRef::lacks_variable);
            self.is_unseen.store(is_unseen, Ordering::Relaxed);
            return Ok(KeptSecrets::Grant(grant?));
        }
        let Some(source) = self.credentials.secret() else { return Ok(KeptSecrets::None) };
        let secret = source.get().await;
        let is_unseen = secret.is_err() && (source.is_printed() || source.lacks_variable());
        self.is_unseen.store(is_unseen, Ordering::Relaxed);
        Ok(KeptSecrets::One(secret?))
    }

    fn tls(&self) -> Result<ClientConfig, ClientError> {
        tls_config(self.is_encrypted, self.ca_file.as_deref(), self.client_certificate.as_deref())
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
            builder = builder.header(name.as_ref(), value.as_ref());
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

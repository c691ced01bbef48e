//! How a client logs in to a server, and where the secret for it comes from.

use std::path::{Path, PathBuf};

use super::secret_command::SecretCommand;
use super::secret_ref::{FileStamp, Secret, SecretError, SecretRef};

/// How a client logs in to a server, and where the secret for it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Without a login.
    None,
    /// With a name and a password.
    Password {
        /// The login name.
        username: String,
        /// Where the password comes from.
        password: SecretSource,
        /// How they are sent.
        scheme: PasswordScheme,
    },
    /// With a token (RFC 6750).
    Bearer {
        /// Where the token comes from.
        token: SecretSource,
    },
    /// With tokens that an authorization server gives for a refresh token (RFC 6749, 6).
    OAuth2(Box<OAuth2Settings>),
}

/// How a client gets access tokens for a refresh token (RFC 6749, 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2Settings {
    /// Where the client identifier is (RFC 6749, 2.2).
    pub client_id: SecretRef,
    /// Where the secret of the client is (RFC 6749, 2.3.1); none for a public client.
    pub client_secret: Option<SecretRef>,
    /// Where the refresh token is.
    pub refresh_token: SecretRef,
    /// The URL of the token endpoint (RFC 6749, 3.2).
    pub token_url: String,
}

impl OAuth2Settings {
    /// All that the client sends to the token endpoint.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        [Some(&self.client_id), self.client_secret.as_ref(), Some(&self.refresh_token)].into_iter().flatten()
    }
}

/// The certificate with which a client logs in to a server that asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The PEM file of the certificate.
    pub certificate: PathBuf,
    /// Where its key is, a PEM file.
    pub key: SecretRef,
}

/// How a name and a password are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordScheme {
    /// As the server offers it.
    Auto,
    /// As they are (RFC 7617).
    Basic,
    /// As a digest (RFC 7616).
    Digest,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// It is kept somewhere.
    Kept(SecretRef),
    /// A command prints it.
    Printed(SecretCommand),
}

impl Credentials {
    /// The name to log in with.
    pub fn username(&self) -> Option<String> {
        match self {
            Credentials::Password { username, .. } => Some(username.clone()),
            Credentials::None | Credentials::Bearer { .. } | Credentials::OAuth2(_) => None,
        }
    }

    /// The password or the token, where one is kept.
    pub fn secret(&self) -> Option<&SecretSource> {
        match self {
            Credentials::None | Credentials::OAuth2(_) => None,
            Credentials::Password { password: secret, .. } | Credentials::Bearer { token: secret } => Some(secret),
        }
    }

    /// The files that the configuration names and that secrets are read from.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Credentials::OAuth2(settings) => settings.secrets().filter_map(SecretRef::path).collect(),
            _ => self.secret().and_then(SecretSource::path).into_iter().collect(),
        }
    }

    /// The keys of the configuration that say how to log in, for a sentence: `username and password_file`.
    pub fn keys(&self) -> String {
        match self {
            Credentials::None => "username and password_file (or token_file)".to_owned(),
            Credentials::Password { password, .. } => format!("username and {}", password.key()),
            Credentials::Bearer { token } => token.key().to_owned(),
            Credentials::OAuth2(settings) => format!("oauth2 ({})", settings.refresh_token.key()),
        }
    }
}

impl SecretSource {
    /// Gets the secret: reads it, or runs the command.
    ///
    /// # Errors
    /// [`SecretError`] when it is not there, or others may read it, or the command fails.
    pub async fn get(&self) -> Result<Secret, SecretError> {
        match self {
            SecretSource::Kept(place) => place.read(),
            SecretSource::Printed(command) => command.run().await,
        }
    }

    /// The key of the configuration that names it.
    pub fn key(&self) -> &'static str {
        match self {
            SecretSource::Kept(place) => place.key(),
            SecretSource::Printed(command) => command.key(),
        }
    }

    /// The file that the configuration names, where it names one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            SecretSource::Kept(place) => place.path(),
            SecretSource::Printed(_) => None,
        }
    }

    /// What changes when the secret does; none where nothing tells that.
    pub fn stamp(&self) -> Option<FileStamp> {
        match self {
            SecretSource::Kept(place) => place.stamp(),
            SecretSource::Printed(_) => None,
        }
    }

    /// Whether a command prints it: only that can tell whether it is another one by now.
    pub fn is_printed(&self) -> bool {
        matches!(self, SecretSource::Printed(_))
    }

    /// Whether it is looked for in the environment, which stays as it is as long as the process lasts, and is not
    /// there.
    pub fn lacks_variable(&self) -> bool {
        matches!(self, SecretSource::Kept(place) if place.lacks_variable())
    }
}

impl From<SecretRef> for SecretSource {
    fn from(place: SecretRef) -> SecretSource {
        SecretSource::Kept(place)
    }
}

//! Logging in to a mail server (RFC 4954): by a password, or by an access token (XOAUTH2), which providers ask for that
//! do not accept passwords any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};

use crate::http::{ClientError, TokenClient};
use crate::tables::{FileStamp, OAuth2Settings, Secret, SecretSource, Section, oauth2, secret};

/// Who logs in, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSettings {
    /// The user.
    pub username: String,
    /// By what.
    pub secret: LoginSecret,
}

/// What logs a user in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginSecret {
    /// AUTH PLAIN or LOGIN.
    Password(SecretSource),
    /// AUTH XOAUTH2, with an access token that somebody else keeps up to date.
    Token(SecretSource),
    /// Likewise, with one that is got with a refresh token.
    OAuth2(Box<OAuth2Settings>),
}

/// Gets what logs in.
#[derive(Debug)]
pub struct MailLogin {
    settings: LoginSettings,
    tokens: Option<TokenClient>,
}

/// What logs in now, and how.
#[derive(Debug)]
pub struct PreparedLogin {
    pub credentials: Credentials,
    pub mechanisms: &'static [Mechanism],
    /// The access token, if it was got with a refresh token.
    granted: Option<Secret>,
}

/// Reads the keys of `section`, whose URL names the user `username`; what is wrong is reported.
pub fn read(section: &Section<'_>, username: Option<String>) -> Option<LoginSettings> {
    let password = secret::read_source(section, &secret::PASSWORD).map(LoginSecret::Password);
    let token = secret::read_source(section, &secret::TOKEN).map(LoginSecret::Token);
    let named = [secret::PASSWORD.named_source(section), secret::TOKEN.named_source(section)];
    let table = section.subtable("oauth2", "sink.oauth2");
    let mut named: Vec<&str> = named.into_iter().flatten().chain(table.is_some().then_some("oauth2")).collect();
    let oauth2 = table.and_then(oauth2::read).map(|settings| LoginSecret::OAuth2(Box::new(settings)));
    if let (Some(second), Some(first)) = (named.get(1), named.first()) {
        section.report(second, &format!("and {first} are given: one of them logs in"));
    }
    named.truncate(1);
    match (&username, named.first()) {
        (Some(_), None) => {
            section.report("url", "names a user, but there is no password: add password_file, token_file or oauth2");
        }
        (None, Some(place)) => section.report(place, "is given, but the url names no user: smtps://USER@HOST"),
        _ => {}
    }
    Some(LoginSettings { username: username?, secret: password.or(token).or(oauth2)? })
}

impl LoginSettings {
    /// The file that it is in.
    pub fn path(&self) -> Option<&Path> {
        match &self.secret {
            LoginSecret::Password(source) | LoginSecret::Token(source) => source.path(),
            LoginSecret::OAuth2(settings) => settings.refresh_token.path(),
        }
    }
}

impl MailLogin {
    /// A login with these settings. A token endpoint may be silent for `timeout`, and its certificate may be of the
    /// authorities in `ca_file`.
    pub fn new(settings: LoginSettings, ca_file: Option<PathBuf>, timeout: Duration) -> MailLogin {
        let tokens = match &settings.secret {
            LoginSecret::OAuth2(settings) => Some(TokenClient::new(settings, ca_file, timeout)),
            LoginSecret::Password(_) | LoginSecret::Token(_) => None,
        };
        MailLogin { settings, tokens }
    }

    /// Whether the secrets are there, as far as that can be seen without a request and without running a command.
    ///
    /// # Errors
    /// A sentence, when they are not.
    pub fn ready(&self) -> Result<(), String> {
        match (&self.settings.secret, &self.tokens) {
            (LoginSecret::Password(SecretSource::Kept(place)) | LoginSecret::Token(SecretSource::Kept(place)), _) => {
                place.read().map(drop)
            }
            (_, Some(tokens)) => tokens.grant().map(drop),
            _ => Ok(()),
        }
        .map_err(|error| error.to_string())
    }

    /// What changes when the secret does.
    pub fn stamp(&self) -> Option<FileStamp> {
        match &self.settings.secret {
            LoginSecret::Password(source) | LoginSecret::Token(source) => source.stamp(),
            LoginSecret::OAuth2(settings) => settings.refresh_token.stamp(),
        }
    }

    /// What logs in now.
    ///
    /// # Errors
    /// [`ClientError`] when there is no secret, or no access token.
    pub async fn prepare(&self) -> Result<PreparedLogin, ClientError> {
        let got =
            async |source: &SecretSource| source.get().await.map_err(|error| ClientError::Settings(error.to_string()));
        let (secret, granted, mechanisms) = match (&self.settings.secret, &self.tokens) {
            (LoginSecret::Password(source), _) => (got(source).await?, None, &PASSWORD[..]),
            (LoginSecret::Token(source), _) => (got(source).await?, None, &TOKEN[..]),
            (LoginSecret::OAuth2(_), Some(tokens)) => {
                let token = tokens.fetch().await?.token;
                (token.clone(), Some(token), &TOKEN[..])
            }
            (LoginSecret::OAuth2(_), None) => return Err(ClientError::Settings("no token endpoint".to_owned())),
        };
        let credentials = Credentials::new(self.settings.username.clone(), secret.expose().to_owned());
        Ok(PreparedLogin { credentials, mechanisms, granted })
    }

    /// The server has refused `login`: an access token is not used again.
    pub async fn refused(&self, login: &PreparedLogin) {
        if let (Some(tokens), Some(token)) = (&self.tokens, &login.granted) {
            tokens.forget(token).await;
        }
    }
}

impl PreparedLogin {
    /// Whether it is by an access token.
    pub fn is_token(&self) -> bool {
        self.mechanisms == TOKEN
    }
}

const PASSWORD: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
const TOKEN: [Mechanism; 1] = [Mechanism::Xoauth2];

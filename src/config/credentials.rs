//! How a source logs in to its server.

use crate::tables::{ClientCertificate, Credentials, PasswordScheme, SecretRef, Section, oauth2, secret, value};

const SCHEMES: [(&str, PasswordScheme); 3] =
    [("auto", PasswordScheme::Auto), ("basic", PasswordScheme::Basic), ("digest", PasswordScheme::Digest)];

/// Reads the login of `section`, whose user is `username`: by password, by token, or by OAuth 2.0.
pub(super) fn with_oauth2(section: &Section<'_>, username: Option<String>) -> Credentials {
    let Some(table) = section.subtable("oauth2", "source.oauth2") else { return read(section, username) };
    let other = secret::PASSWORD.named_source(section).or_else(|| secret::TOKEN.named_source(section));
    if let Some(key) = other {
        section.report(key, "and oauth2 are given: one of them logs in");
    }
    if section.has("auth") {
        section.report("auth", "says how a password is sent, and oauth2 logs in");
    }
    oauth2::read(table).map_or(Credentials::None, |settings| Credentials::OAuth2(Box::new(settings)))
}

/// Reads the login of `section`, whose user is `username`: by password or by token.
pub(super) fn read(section: &Section<'_>, username: Option<String>) -> Credentials {
    let scheme = section.read("auth", value::one_of(&SCHEMES));
    let password = secret::read_source(section, &secret::PASSWORD);
    let token = secret::read_source(section, &secret::TOKEN);
    let names_password = secret::PASSWORD.named_source(section);
    let names_token = secret::TOKEN.named_source(section);
    match (&username, names_password, names_token) {
        (_, Some(_), Some(token)) => section.report(token, "and a password are given: one of them logs in"),
        (None, Some(password), None) => section.report(password, "is given without a username"),
        (Some(_), None, None) => {
            section.report(
                "username",
                "is given without a password: add password_file, password_command, password_env or token_file",
            );
        }
        _ => {}
    }
    if scheme.is_some() && names_password.is_none() {
        section.report("auth", "says how a password is sent, and none is given");
    }
    match (username, password, token) {
        (_, _, Some(token)) => Credentials::Bearer { token },
        (Some(username), Some(password), None) => {
            Credentials::Password { username, password, scheme: scheme.unwrap_or(PasswordScheme::Auto) }
        }
        _ => Credentials::None,
    }
}

/// Reads the certificate that is shown to the server at `url`.
pub(super) fn client_certificate(section: &Section<'_>, url: Option<&str>) -> Option<Box<ClientCertificate>> {
    let path = |key| section.read(key, value::string).map(|written| section.path(&written));
    let (certificate, key) = (path("client_certificate"), path("client_key"));
    match (&certificate, &key) {
        (Some(_), None) => section.report("client_certificate", "is given without its key: add client_key"),
        (None, Some(_)) => section.report("client_key", "is given without its certificate: add client_certificate"),
        (Some(_), Some(_)) if url.is_some_and(|url| url.starts_with("http:")) => {
            section.report("client_certificate", "is shown over https only, and the url is http");
        }
        _ => {}
    }
    Some(Box::new(ClientCertificate { certificate: certificate?, key: SecretRef::file("client_key", key?) }))
}

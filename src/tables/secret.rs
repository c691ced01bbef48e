//! The keys that name where a secret is kept.

use super::credentials::SecretSource;
use super::secret_command::SecretCommand;
use super::secret_ref::SecretRef;
use super::section::Section;
use super::value;

/// The keys that name where a secret is kept.
#[derive(Debug)]
pub struct Keys {
    /// What the secret would be called if it stood in the file, where it must not stand.
    pub plain: &'static str,
    /// The key of a file.
    pub file: &'static str,
    /// The key of an environment variable.
    pub variable: &'static str,
    /// The key of systemd's credential.
    pub credential: &'static str,
    /// The key of a command that prints it, for those who may run one.
    pub command: &'static str,
}

/// The keys of a password.
pub const PASSWORD: Keys = Keys {
    plain: "password",
    file: "password_file",
    variable: "password_env",
    credential: "password_credential",
    command: "password_command",
};

/// The keys of a token.
pub const TOKEN: Keys = Keys {
    plain: "token",
    file: "token_file",
    variable: "token_env",
    credential: "token_credential",
    command: "token_command",
};

/// The keys of a client identifier (RFC 6749, 2.2), which may also stand in the file itself.
pub const CLIENT_ID: Keys = Keys {
    plain: "client_id",
    file: "client_id_file",
    variable: "client_id_env",
    credential: "client_id_credential",
    command: "client_id_command",
};

/// The keys of the secret of a client (RFC 6749, 2.3.1).
pub const CLIENT_SECRET: Keys = Keys {
    plain: "client_secret",
    file: "client_secret_file",
    variable: "client_secret_env",
    credential: "client_secret_credential",
    command: "client_secret_command",
};

/// The keys of a refresh token (RFC 6749, 1.5).
pub const REFRESH_TOKEN: Keys = Keys {
    plain: "refresh_token",
    file: "refresh_token_file",
    variable: "refresh_token_env",
    credential: "refresh_token_credential",
    command: "refresh_token_command",
};

/// The keys of an address that is a secret; it may also stand in the file itself.
pub const URL: Keys =
    Keys { plain: "url", file: "url_file", variable: "url_env", credential: "url_credential", command: "url_command" };

impl Keys {
    /// The first key of these that a section uses.
    pub fn named(&self, section: &Section<'_>) -> Option<&'static str> {
        [self.file, self.variable, self.credential].into_iter().find(|key| section.has(key))
    }

    /// Likewise, with that of a command.
    pub fn named_source(&self, section: &Section<'_>) -> Option<&'static str> {
        let command = Some(self.command).filter(|key| section.has(key));
        self.named(section).or(command)
    }
}

/// Where the secret is that a section names, if it names one. A secret in the file itself, and several places for one,
/// are reported; whether it can be read is seen when it is needed.
pub fn read(section: &Section<'_>, keys: &Keys) -> Option<SecretRef> {
    if section.has(keys.plain) {
        let hint = format!(
            "must not be in this file: put it into a separate file, mode 0600, and name that with {}",
            keys.file
        );
        section.report(keys.plain, &hint);
    }
    let places = [keys.file, keys.variable, keys.credential];
    let mut named = places.into_iter().filter(|key| section.has(key));
    let place = named.next()?;
    if let Some(second) = named.next() {
        section.report(second, &format!("is one place too many for the {}: {place} names one as well", keys.plain));
    }
    section.read(place, |written| {
        let written = value::string(written)?;
        match place {
            _ if place == keys.file => Ok(SecretRef::file(place, section.path(&written))),
            _ if place == keys.variable => Ok(SecretRef::variable(place, written)),
            _ if written.contains('/') || written == ".." => {
                Err(format!("is '{written}' and must be the bare name of a systemd credential"))
            }
            _ => Ok(SecretRef::credential(place, written)),
        }
    })
}

/// Likewise, where a command may print the secret.
pub fn read_source(section: &Section<'_>, keys: &Keys) -> Option<SecretSource> {
    let kept = read(section, keys);
    if !section.has(keys.command) {
        return kept.map(SecretSource::Kept);
    }
    if let Some(place) = keys.named(section) {
        let sentence = format!("is one place too many for the {}: {place} names one as well", keys.plain);
        section.report(keys.command, &sentence);
    }
    let (program, arguments) = section.read(keys.command, value::command)?;
    let program = section.program(&program);
    Some(SecretSource::Printed(SecretCommand::new(keys.command, program, arguments)))
}

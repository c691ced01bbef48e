//! Secrets: where they are read from, and that nobody else reads them there.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::load::Reader;
use super::section::Section;
use super::settings::Secret;
use super::value;

/// Octets of a file that is read as a secret.
pub(super) const MAX_SECRET: u64 = 64 * 1024;

/// The keys that name where a secret is kept.
#[derive(Debug)]
pub(super) struct Keys {
    /// What the secret would be called if it stood in the file, where it must not stand.
    pub(super) plain: &'static str,
    pub(super) file: &'static str,
    pub(super) variable: &'static str,
    pub(super) credential: &'static str,
}

pub(super) const PASSWORD: Keys =
    Keys { plain: "password", file: "password_file", variable: "password_env", credential: "password_credential" };

pub(super) const TOKEN: Keys =
    Keys { plain: "token", file: "token_file", variable: "token_env", credential: "token_credential" };

impl Keys {
    /// The first key of these that a section uses.
    pub(super) fn named(&self, section: &Section<'_>) -> Option<&'static str> {
        [self.file, self.variable, self.credential].into_iter().find(|key| section.has(key))
    }
}

/// The secret that a section names, if it names one. A secret in the file itself, several places for one, and one
/// that cannot be read are reported.
pub(super) fn read(section: &Section<'_>, keys: &Keys, reader: &Reader<'_>) -> Option<Secret> {
    if section.has(keys.plain) {
        let hint = format!(
            "does not belong into this file: put it into a file of its own, mode 0600, and name that with {}",
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
        let written = value::text(written)?;
        if !reader.reads_secrets() {
            return Ok(Secret::new(""));
        }
        match place {
            _ if place == keys.file => from_file(&reader.path(&written)),
            _ if place == keys.variable => from_variable(&written, reader),
            _ => from_credential(&written, reader),
        }
    })
}

/// A file that its owner alone may read.
fn from_file(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let unreadable = |why: std::io::Error| format!("names {shown}, which cannot be read: {why}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("names {shown}, which is no file"));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(format!("names {shown}, which others may read (mode {mode:04o}): chmod 600 {shown}"));
    }
    contents(path, metadata.len())
}

fn from_variable(name: &str, reader: &Reader<'_>) -> Result<Secret, String> {
    match reader.variable(name) {
        Some(secret) if !secret.is_empty() => Ok(Secret::new(secret)),
        _ => Err(format!("names the environment variable {name}, which is not set")),
    }
}

/// A file in the folder that systemd made for the service's credentials.
fn from_credential(name: &str, reader: &Reader<'_>) -> Result<Secret, String> {
    if name.contains('/') || name == ".." {
        return Err(format!("is '{name}' and must be the bare name of a systemd credential"));
    }
    let Some(folder) = reader.variable("CREDENTIALS_DIRECTORY") else {
        return Err(format!("names the systemd credential '{name}', but $CREDENTIALS_DIRECTORY is not set"));
    };
    let path = PathBuf::from(folder).join(name);
    let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    contents(&path, length)
}

/// What a file holds, without the line end that editors leave there.
fn contents(path: &Path, length: u64) -> Result<Secret, String> {
    let shown = path.display();
    if length > MAX_SECRET {
        return Err(format!("names {shown}, which is too long for a secret"));
    }
    let text = std::fs::read_to_string(path).map_err(|why| format!("names {shown}, which cannot be read: {why}"))?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() { Err(format!("names {shown}, which is empty")) } else { Ok(Secret::new(secret)) }
}

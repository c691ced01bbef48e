//! A folder that is a calendar, and what lies in it. Only regular files are objects, no links.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::name;
use super::open_folder::{OpenFolder, is_gone};
use crate::source::contract::Change;
use crate::time::UtcMillis;

/// A folder that is a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    /// Its path as the watched folder has it.
    pub path: PathBuf,
    /// Its real path: another one where it is behind a link.
    pub real: PathBuf,
    /// The path below the watched folder; `.` for that one itself.
    pub href: String,
    pub id: String,
    pub name: String,
    pub color: String,
    pub zone: Option<String>,
    /// Whose alarms these are, where the layout tells.
    pub user: Option<String>,
    /// Whose it is, where the layout tells.
    pub owner: Option<String>,
    /// Every file in it is an object, whatever it is called.
    pub any_name: bool,
    /// The number of the file system that it lies on.
    pub device: String,
    /// When it was made, where that is known.
    pub made: Option<UtcMillis>,
}

/// A file in a calendar; without an etag it is no longer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub name: String,
    pub etag: String,
}

/// The files in a calendar.
#[derive(Debug, Default)]
pub(super) struct FileEntries {
    pub files: Vec<FileEntry>,
    /// Links that are called as objects are, one sentence each.
    pub notes: Vec<String>,
}

/// What was read of some files.
#[derive(Debug, Default)]
pub(super) struct ReadFiles {
    pub changes: Vec<Change>,
    pub unread: Vec<UnreadFile>,
    /// Nothing could be read: the folder is gone, or cannot be read. And a sentence, if there is something to report.
    pub failed: Option<Option<String>>,
}

/// A file that could not be read.
#[derive(Debug)]
pub(super) struct UnreadFile {
    pub href: String,
    /// Why, a sentence without its subject.
    pub reason: String,
}

impl Folder {
    /// The objects in it.
    ///
    /// # Errors
    /// That of the system, when it cannot be listed.
    pub(super) fn entries(&self) -> io::Result<FileEntries> {
        let place = self.open()?;
        let mut entries = FileEntries::default();
        for item in place.items()? {
            if !holds(&item.name, self.any_name) {
                continue;
            }
            match item.kind {
                FileType::RegularFile => {
                    if let Some(etag) = place.etag(&item.name)? {
                        entries.files.push(FileEntry { name: name::text(&item.name), etag });
                    }
                }
                FileType::Symlink if is_object(&item.name) => {
                    let link = self.path.join(&item.name);
                    entries
                        .notes
                        .push(format!("the link {} is not followed: only links to folders are", link.display()));
                }
                _ => {}
            }
        }
        Ok(entries)
    }

    /// Opens it.
    ///
    /// # Errors
    /// That of the system.
    pub(super) fn open(&self) -> io::Result<OpenFolder> {
        OpenFolder::open(&self.real)
    }

    /// The entry of the file `name` in it, with an empty etag where that is gone; none for one that is no object.
    /// `place` is the folder.
    pub(super) fn entry(&self, place: &OpenFolder, name: &OsStr) -> Option<FileEntry> {
        let etag = place.etag(name).ok().flatten().unwrap_or_default();
        holds(name, self.any_name).then(|| FileEntry { name: name::text(name), etag })
    }

    /// Reads the files of `entries`.
    pub(super) fn read(&self, entries: Vec<FileEntry>, max_size: usize) -> ReadFiles {
        let (mut changes, mut unread) = (Vec::with_capacity(entries.len()), Vec::new());
        let place = match self.open() {
            Ok(place) => place,
            // What is there instead, if anything, is reported by the watch and found by the next scan.
            Err(error) => {
                let fault = || format!("the folder {} cannot be read: {error}", self.path.display());
                return ReadFiles { failed: Some((!is_gone(&error)).then(fault)), ..ReadFiles::default() };
            }
        };
        for entry in entries {
            let file = name::octets(&entry.name);
            match place.read(&self.real, &file, max_size) {
                Ok(Some(content)) => changes.push(Change::Put {
                    href: entry.name,
                    etag: content.etag,
                    text: content.octets,
                    last_modified: Some(content.last_modified),
                }),
                Ok(None) => changes.push(Change::Gone { href: entry.name }),
                Err(reason) => unread.push(UnreadFile { href: entry.name, reason }),
            }
        }
        ReadFiles { changes, unread, failed: None }
    }

    /// A sentence that says that a file cannot be read.
    pub(super) fn fault(&self, href: &str, reason: &str) -> String {
        format!("{}: {reason}; its known alarms stay scheduled", self.file(href).display())
    }

    /// The path of the file whose href is `href`.
    pub(super) fn file(&self, href: &str) -> PathBuf {
        self.path.join(name::octets(href))
    }
}

/// Whether an object may be called so, in a folder where any name will do or not.
pub(super) fn holds(name: &OsStr, any_name: bool) -> bool {
    is_object(name) || (any_name && !hidden(name))
}

pub(super) fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

pub(super) fn is_object(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default();
    !hidden(name) && ["ics", "ical", "icalendar"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a text has its end: one that has not may still be written.
pub(super) fn is_whole(text: &[u8]) -> bool {
    const END: &[u8] = b"END:VCALENDAR";
    let text = text.trim_ascii_end();
    text.len()
        .checked_sub(END.len())
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(END))
}

//! Unix sockets that have a file.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::access::folder_of;

/// The file of a socket. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    file: Option<(u64, u64)>,
}

impl SocketFile {
    /// Makes a socket at `path` that users may open whom `mode` allows it, whatever the umask. A socket that is there
    /// is replaced.
    ///
    /// # Errors
    /// A sentence, when it cannot be made.
    pub(super) fn bind(path: &Path, kind: SocketType, mode: u32) -> Result<(OwnedFd, SocketFile), String> {
        let failed = |why: &dyn std::fmt::Display| format!("the socket {} cannot be made: {why}", path.display());
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path).map_err(|why| failed(&why))?,
            Ok(_) => return Err(failed(&"there is another file")),
            Err(_) => {}
        }
        let socket = bound(path, kind).map_err(|why| failed(&why))?;
        let file = SocketFile { path: path.to_owned(), file: number(path) };
        if mode != PRIVATE {
            set_mode(path, file.file, mode).map_err(|why| failed(&why))?;
        }
        Ok((socket, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.file.is_some() && number(&self.path) == self.file {
            // Where that fails, the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn number(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Gives the file at `path` the mode `mode` if it is `expected`, and follows no link that has taken its place.
fn set_mode(path: &Path, expected: Option<(u64, u64)>, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.file_type().is_socket() || expected != Some((metadata.dev(), metadata.ino())) {
        return Err(io::Error::other("another file has taken its place"));
    }
    // A file that is open as a path only has no mode to set by its descriptor itself.
    let open = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
    fs::set_permissions(open, fs::Permissions::from_mode(mode))
}

/// The mode of a socket that is for one user.
pub(super) const PRIVATE: u32 = 0o600;

fn bound(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    // Linux gives the file of a socket the mode that the socket has: there is no moment at which others may connect.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(PRIVATE))?;
    let address = ShortPath::of(path)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(address.path())?)?;
    Ok(socket)
}

/// A path that is short enough for the address of a socket, which has 108 octets.
#[derive(Debug)]
pub(super) struct ShortPath {
    path: PathBuf,
    /// Open as long as the path is used.
    _folder: Option<File>,
}

impl ShortPath {
    /// For the file at `path`.
    ///
    /// # Errors
    /// When its folder cannot be opened, or its name alone is too long.
    pub(super) fn of(path: &Path) -> io::Result<ShortPath> {
        if SocketAddrUnix::new(path).is_ok() {
            return Ok(ShortPath { path: path.to_owned(), _folder: None });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(folder_of(path))?;
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        SocketAddrUnix::new(&short).map_err(|_| io::Error::other("the name of the socket is too long"))?;
        Ok(ShortPath { path: short, _folder: Some(folder) })
    }

    /// The path, as long as this lives.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_mode_of_what_took_the_place_of_a_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("socket"), folder.path().join("other"));
        let (_socket, file) = SocketFile::bind(&path, SocketType::DGRAM, 0o666).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o666);
        fs::write(&other, "").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        set_mode(&path, file.file, 0o666).unwrap_err();
        assert_eq!(mode(&other), 0o600);
    }
}

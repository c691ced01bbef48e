//! The control socket: a Unix stream socket beside the ledger, at which the command line asks the daemon. Who may open
//! it may ask: its mode is 0600.

use std::fs::{self, File};
use std::future::{Future, ready};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

use super::connections::{ConnectionLimits, serve};
use crate::access::folder_of;

/// The user of the daemon can be trusted; a sync may take long.
const LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 64, head: Duration::from_secs(10), lifetime: Duration::from_secs(24 * 60 * 60) };
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// The control socket of a daemon. Dropped, it is removed.
#[derive(Debug)]
pub struct ControlSocket {
    listener: StdUnixListener,
    path: PathBuf,
    /// Its device and inode.
    file: Option<(u64, u64)>,
}

impl ControlSocket {
    /// Makes the socket at `path`, mode 0600. One that another daemon has left there is replaced: who calls this holds
    /// the lock of the ledger.
    ///
    /// # Errors
    /// A sentence, when it cannot be made.
    pub fn bind(path: &Path) -> Result<ControlSocket, String> {
        let failed = |why: &dyn std::fmt::Display| format!("its socket {} cannot be made: {why}", path.display());
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path).map_err(|why| failed(&why))?,
            Ok(_) => return Err(failed(&"there is another file")),
            Err(_) => {}
        }
        let listener = listen(path).map_err(|why| failed(&why))?;
        Ok(ControlSocket { listener, path: path.to_owned(), file: number(path) })
    }

    /// Serves `routes` until `stop` resolves.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub async fn serve(self, routes: Router, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        serve(async || listener.accept().await.map(|(stream, _)| ready(Ok(stream))), routes, LIMITS, stop).await;
        Ok(())
    }
}

impl Drop for ControlSocket {
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

fn listen(path: &Path) -> io::Result<StdUnixListener> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Linux gives the file of a socket the mode that the socket has: there is no moment at which others may connect.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    let address = ShortPath::of(path)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(address.path())?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
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
        SocketAddrUnix::new(&short).map_err(|_| io::Error::other("the name of the ledger is too long"))?;
        Ok(ShortPath { path: short, _folder: Some(folder) })
    }

    /// The path, as long as this lives.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_private_replaces_an_old_one_and_may_have_a_long_path() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        for path in [folder.path().join("ledger.db.sock"), deep.join("ledger.db.sock")] {
            drop(StdUnixListener::bind(ShortPath::of(&path).unwrap().path()).unwrap());
            let socket = ControlSocket::bind(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            UnixStream::connect(ShortPath::of(&path).unwrap().path()).unwrap();
            drop(socket);
            assert!(!path.exists());
            fs::write(&path, "precious").unwrap();
            assert!(ControlSocket::bind(&path).unwrap_err().contains("another file"));
        }
    }
}

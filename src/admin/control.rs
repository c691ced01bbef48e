//! The control socket: a Unix stream socket beside the ledger, at which the command line asks the daemon. Who may open
//! it may ask: its mode is 0600.

use std::future::{Future, ready};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use rustix::net::SocketType;
use tokio::net::UnixListener;

use super::connections::{ConnectionLimits, serve};
use super::socket_file::{PRIVATE, SocketFile};

/// The user of the daemon can be trusted; a sync may take long.
const LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 64, head: Duration::from_secs(10), lifetime: Duration::from_secs(24 * 60 * 60) };
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// The control socket of a daemon. Dropped, it is removed.
#[derive(Debug)]
pub struct ControlSocket {
    listener: StdUnixListener,
    _file: SocketFile,
}

impl ControlSocket {
    /// Makes the socket at `path`, mode 0600. One that another daemon has left there is replaced: who calls this holds
    /// the lock of the ledger.
    ///
    /// # Errors
    /// A sentence, when it cannot be made.
    pub fn bind(path: &Path) -> Result<ControlSocket, String> {
        let (socket, file) = SocketFile::bind(path, SocketType::STREAM, PRIVATE)?;
        rustix::net::listen(&socket, BACKLOG)
            .map_err(|why| format!("the socket {} cannot be listened at: {why}", path.display()))?;
        Ok(ControlSocket { listener: socket.into(), _file: file })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use super::super::socket_file::ShortPath;
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

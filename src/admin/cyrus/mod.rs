//! The socket at which Cyrus sends its event notifications, in the place of its notifyd. An event of a calendar is a
//! hint for its users; what else the event says is not used.

mod event;

use std::future::Future;
use std::io;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::SocketType;
use tokio::net::UnixDatagram;
use tokio::time::Instant;

use super::socket_file::SocketFile;
use crate::hints::HintRegistry;

/// Cyrus sends no datagram that is longer (NOTIFY_MAXSIZE in its imap/notify.c).
const MAX_DATAGRAM: usize = 8192;
/// Datagrams a second that are looked at; the others are taken, because Cyrus waits while the socket is full.
const MOST: u32 = 5_000;
const SECOND: Duration = Duration::from_secs(1);
/// A socket that cannot be made is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How long nothing is received after that has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Receives notifications at `path`, which users may write to whom `mode` allows it, until `stop` resolves. Events of
/// calendars are hints for `hints`.
pub async fn serve_cyrus_socket(path: PathBuf, mode: u32, hints: HintRegistry, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let (socket, _file) = tokio::select! {
        bound = bind(&path, mode) => bound,
        () = &mut stop => return,
    };
    tracing::info!(socket.path = %path.display(), "event notifications of Cyrus are received");
    let mut events = CyrusEvents::new(hints, Instant::now());
    // One octet more, so that what is too long is known by that.
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv(&mut buffer) => received,
            () = &mut stop => return,
        };
        match received {
            Ok(length) => events.take(buffer.get(..length).unwrap_or_default(), Instant::now()),
            Err(why) => {
                tracing::debug!("an event notification of Cyrus cannot be received: {why}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The socket and its file. Where it cannot be made, it is tried again: alarms do not wait for it.
async fn bind(path: &Path, mode: u32) -> (UnixDatagram, SocketFile) {
    let mut is_logged = false;
    loop {
        match try_bind(path, mode) {
            Ok(bound) => return bound,
            Err(why) if !is_logged => {
                is_logged = true;
                tracing::warn!("event notifications of Cyrus cannot be received, which is tried again: {why}");
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

fn try_bind(path: &Path, mode: u32) -> Result<(UnixDatagram, SocketFile), String> {
    if StdUnixDatagram::unbound().and_then(|socket| socket.connect(path)).is_ok() {
        return Err(format!("another program listens at {}", path.display()));
    }
    let (socket, file) = SocketFile::bind(path, SocketType::DGRAM, mode)?;
    let open = || -> io::Result<UnixDatagram> {
        let socket = StdUnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        UnixDatagram::from_std(socket)
    };
    let socket = open().map_err(|why| format!("the socket {} cannot be used: {why}", path.display()))?;
    Ok((socket, file))
}

/// Makes hints of datagrams.
#[derive(Debug)]
struct CyrusEvents {
    hints: HintRegistry,
    /// When the current second began, and how many came in it.
    second: Instant,
    count: u32,
    /// Whether it was logged that there are too many, and what is no event.
    is_flood_logged: bool,
    is_nonsense_logged: bool,
}

impl CyrusEvents {
    fn new(hints: HintRegistry, now: Instant) -> CyrusEvents {
        CyrusEvents { hints, second: now, count: 0, is_flood_logged: false, is_nonsense_logged: false }
    }

    /// Takes a datagram that comes at `now`.
    fn take(&mut self, datagram: &[u8], now: Instant) {
        if now.saturating_duration_since(self.second) >= SECOND {
            (self.second, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        if self.count > MOST {
            if !std::mem::replace(&mut self.is_flood_logged, true) {
                tracing::warn!(
                    "there are too many event notifications of Cyrus; of more than {MOST} a second the others are dropped"
                );
            }
            return;
        }
        if datagram.len() > MAX_DATAGRAM {
            return self.note_nonsense(&"it is too long");
        }
        match event::users_of(datagram) {
            Ok(users) => {
                for user in users {
                    let sources = self.hints.hint_user(&user);
                    tracing::debug!(user.name = user, sources, "Cyrus says that a calendar has changed");
                }
            }
            Err(why) => self.note_nonsense(&why),
        }
    }

    fn note_nonsense(&mut self, why: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.is_nonsense_logged, true) {
            tracing::warn!(
                "a datagram at the socket for Cyrus is not an event notification, and is dropped, as further ones will be: {why}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nonsense_and_floods_are_dropped_and_what_comes_after_them_is_not() {
        let hints = HintRegistry::default();
        let mary = hints.register("mary", Some("mary"));
        let event =
            b"log\0EVENT\0\0\0\x000\0{\"event\":\"MessageNew\",\"uri\":\"imap://h/user/mary/%23calendars/w\"}\0";
        let mut events = CyrusEvents::new(hints, Instant::now());
        let mut is_hint = |datagram: &[u8]| {
            events.take(datagram, Instant::now());
            mary.take().is_hinted
        };
        assert!(is_hint(event));
        assert!(!is_hint(b"nonsense"));
        let long = [&event[..event.len() - 2], &vec![b' '; MAX_DATAGRAM], b"}\0"].concat();
        assert!(!is_hint(&long));
        assert!(is_hint(event));
        assert!(!(0..MOST).map(|_| is_hint(event)).last().unwrap(), "this second has had enough");
        tokio::time::advance(SECOND).await;
        assert!(is_hint(event));
    }

    #[tokio::test]
    async fn a_socket_in_use_is_left_alone_and_one_that_was_left_behind_is_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cyrus.sock");
        let other = StdUnixDatagram::bind(&path).unwrap();
        assert!(try_bind(&path, 0o666).unwrap_err().contains("another program listens"));
        drop(other);
        let bound = try_bind(&path, 0o660).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        drop(bound);
        assert!(!path.exists());
    }
}

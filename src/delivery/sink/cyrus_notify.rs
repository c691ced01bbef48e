//! The sink `cyrus-notify`: one unix datagram per notification, framed as Cyrus IMAP's `notify` speaks to its daemons.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::socket_send_buffer_size;
use tokio::net::UnixDatagram;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{
    ClaimedDelivery, Outcome, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, SinkSettings,
};
use crate::access::{self, Need, User};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::render::{JsonFormat, Renderer};
use crate::tables::{Section, value};

/// The sink `cyrus-notify`.
pub const KIND: SinkKind =
    SinkKind { name: "cyrus-notify", actions: &[], read: |section| Some(Arc::new(read(section)?)) };

/// What Cyrus' own configuration would name; its notifyd writes such notifications to the system log.
const METHOD: &str = "log";

/// `kind = "cyrus-notify"`
#[derive(Clone, Debug)]
pub struct CyrusNotifySettings {
    /// The socket of the daemon.
    pub path: PathBuf,
    /// The first field of the datagram: what Cyrus' notifyd would dispatch on.
    pub method: String,
    /// How the message is written.
    pub format: JsonFormat,
}

fn read(section: &Section<'_>) -> Option<CyrusNotifySettings> {
    let format = JsonFormat::read(section);
    let method = section.read("method", value::string).unwrap_or_else(|| METHOD.to_owned());
    let path = section.path(&section.required("path", value::string)?);
    Some(CyrusNotifySettings { path, method, format })
}

impl SinkSettings for CyrusNotifySettings {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        let renderer = Renderer::new(self.format, context.zones.clone());
        let deadline = context.deadline.clone();
        Ok(Box::new(CyrusNotify::new(&self.path, &self.method, renderer, config.timeout, deadline)))
    }

    fn denied(&self, user: &User) -> Option<String> {
        access::lacking(user, &self.path, Need::Write, false)
    }
}

/// What Linux keeps of a socket's send buffer for itself.
const OVERHEAD: usize = 32;
/// No datagram is cut to less than this; a socket that takes less is of no use.
const LEAST: usize = 1024;

/// A daemon's datagram socket.
#[derive(Debug)]
pub struct CyrusNotify {
    path: PathBuf,
    /// Everything before the message: method, class, priority, user, mailbox, number of options.
    header: Vec<u8>,
    renderer: Renderer,
    timeout: Duration,
    deadline: SendDeadline,
    line: Mutex<Option<NotifySocket>>,
}

impl SinkDriver for CyrusNotify {
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>> {
        Box::pin(self.send_all(deliveries))
    }

    fn check(&self) -> Sending<'_, Result<String, SinkError>> {
        Box::pin(async { self.try_connect() })
    }
}

/// A connected socket.
#[derive(Debug)]
struct NotifySocket {
    socket: UnixDatagram,
    /// Which file the path led to: its device and inode.
    place: Option<(u64, u64)>,
    /// The most octets that one datagram can have.
    limit: usize,
}

impl CyrusNotify {
    /// Datagrams go to the socket at `path`; `method` is their first field.
    pub fn new(
        path: &Path,
        method: &str,
        renderer: Renderer,
        timeout: Duration,
        deadline: SendDeadline,
    ) -> CyrusNotify {
        let method: String = method.chars().filter(|c| *c != '\0').collect();
        let header = format!("{method}\0EVENT\0\0\0\x000\0").into_bytes();
        CyrusNotify { path: path.to_owned(), header, renderer, timeout, deadline, line: Mutex::new(None) }
    }

    /// Sends the batch, a datagram each, within the time limit. When the other side is gone or takes nothing, the rest
    /// of the batch is not tried.
    async fn send_all(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.timeout;
        let mut line = self.line.lock().await;
        // Another daemon may have taken the place of the one that we are connected to, which may be there still.
        if line.as_ref().is_some_and(|open| open.place != self.place()) {
            *line = None;
        }
        let mut end = std::pin::pin!(self.deadline.reached());
        let mut outcomes = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            // A datagram that is given up was not sent.
            let outcome = tokio::select! {
                biased;
                () = &mut end => Outcome::NotAttempted,
                outcome = self.send_one(&mut line, delivery, deadline) => outcome,
            };
            if matches!(outcome, Outcome::Retry { .. } | Outcome::NotAttempted) {
                outcomes.resize(deliveries.len(), outcome);
                break;
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Says whether a daemon listens; sends nothing.
    fn try_connect(&self) -> Result<String, SinkError> {
        self.connect().map_err(|error| SinkError(self.unusable(&error)))?;
        Ok(format!("a daemon listens at {}", self.path.display()))
    }

    async fn send_one(
        &self,
        line: &mut Option<NotifySocket>,
        delivery: &ClaimedDelivery,
        deadline: Instant,
    ) -> Outcome {
        let mut fresh = line.is_none();
        loop {
            let open = match line.take().map_or_else(|| self.connect(), Ok) {
                Ok(open) => line.insert(open),
                Err(error) => return Outcome::retry(self.unusable(&error)),
            };
            let datagram = match self.frame(&delivery.notification, open.limit) {
                Ok(datagram) => datagram,
                Err(refused) => return refused,
            };
            let error = match timeout_at(deadline, open.socket.send(&datagram)).await {
                Ok(Ok(_)) => return Outcome::Delivered,
                Ok(Err(error)) => error,
                Err(_) => {
                    let (path, seconds) = (self.path.display(), self.timeout.as_secs());
                    return Outcome::retry(format!(
                        "{path} is full: its daemon did not take all alarms within {seconds} s"
                    ));
                }
            };
            match Errno::from_io_error(&error) {
                // A smaller limit than its buffer promises.
                Some(Errno::MSGSIZE) if datagram.len() / 2 >= LEAST => open.limit = datagram.len() / 2,
                // The daemon that we were connected to is gone; another may have taken its place.
                Some(Errno::CONNREFUSED | Errno::CONNRESET | Errno::NOTCONN | Errno::PIPE) if !fresh => {
                    (*line, fresh) = (None, true);
                }
                _ => {
                    *line = None;
                    return Outcome::retry(self.unusable(&error));
                }
            }
        }
    }

    /// A datagram of at most `limit` octets.
    fn frame(&self, json: &str, limit: usize) -> Result<Vec<u8>, Outcome> {
        let json = self.renderer.render_within(json, limit.saturating_sub(self.header.len() + 1))?;
        let mut datagram = Vec::with_capacity(self.header.len() + json.len() + 1);
        datagram.extend_from_slice(&self.header);
        datagram.extend_from_slice(json.as_bytes());
        datagram.push(0);
        Ok(datagram)
    }

    fn place(&self) -> Option<(u64, u64)> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    fn connect(&self) -> io::Result<NotifySocket> {
        let place = self.place();
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        let limit = socket_send_buffer_size(&socket)?.saturating_sub(OVERHEAD);
        Ok(NotifySocket { socket, place, limit })
    }

    /// A sentence about the socket.
    fn unusable(&self, error: &io::Error) -> String {
        let path = self.path.display();
        match error.kind() {
            ErrorKind::NotFound => format!("there is no socket at {path}: start the daemon that listens there"),
            ErrorKind::ConnectionRefused => format!("no daemon listens at {path}: start the daemon that listens there"),
            ErrorKind::PermissionDenied => format!("the socket {path} may not be written by the user reveille runs as"),
            _ if Errno::from_io_error(error) == Some(Errno::PROTOTYPE) => format!("{path} is no datagram socket"),
            _ => format!("the socket {path} takes nothing: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::zone::Zones;
    use crate::delivery::sink::samples::{delivery, melbourne};
    use crate::notification::Notification;

    fn sink(path: &Path) -> CyrusNotify {
        let renderer = Renderer::new(JsonFormat::default(), Zones::bundled());
        CyrusNotify::new(path, "lab", renderer, Duration::from_secs(10), SendDeadline::default())
    }

    async fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 19];
        let length = socket.recv(&mut buffer).await.unwrap();
        buffer.truncate(length);
        buffer
    }

    #[tokio::test]
    async fn the_framing_is_the_recorded_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink(&path).send(&[delivery("{\"event\":1}")]).await, [Outcome::Delivered]);
        assert_eq!(
            received(&daemon).await,
            b"lab\0EVENT\0\0\0\0".iter().chain(b"0\0{\"event\":1}\0").copied().collect::<Vec<u8>>()
        );
    }

    #[tokio::test]
    async fn an_absent_daemon_is_waited_for_and_a_new_one_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let sink = sink(&path);
        let absent = sink.send(&[delivery("{1}"), delivery("{2}")]).await;
        let response = format!("there is no socket at {}: start the daemon that listens there", path.display());
        assert_eq!(absent, vec![Outcome::retry(response); 2]);

        let daemon = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.send(&[delivery("{3}")]).await, [Outcome::Delivered]);
        drop(daemon);
        let gone = sink.send(&[delivery("{4}")]).await;
        assert!(
            matches!(gone.as_slice(), [Outcome::Retry { response, .. }] if response.starts_with("no daemon listens")),
            "{gone:?}"
        );
        assert!(sink.try_connect().is_err());

        std::fs::remove_file(&path).unwrap();
        let first = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.send(&[delivery("{5}")]).await, [Outcome::Delivered]);
        std::fs::remove_file(&path).unwrap();
        drop(first);
        let second = UnixDatagram::bind(&path).unwrap();
        assert_eq!(
            sink.send(&[delivery("{6}")]).await,
            [Outcome::Delivered],
            "a restart between two alarms loses none"
        );
        assert!(received(&second).await.ends_with(b"{6}\0"));
        // The one before is there still, as when a daemon is restarted before the old one ends.
        std::fs::remove_file(&path).unwrap();
        let third = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.send(&[delivery("{7}")]).await, [Outcome::Delivered]);
        assert!(received(&third).await.ends_with(b"{7}\0"));
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let sink = sink(&path);
        // Far more than a unix socket queues, and more at once than its buffers hold.
        let deliveries: Vec<ClaimedDelivery> = (0..2_000).map(|n| delivery(&format!("{{\"n\":{n}}}"))).collect();
        let (outcomes, count) = tokio::join!(sink.send(&deliveries), async {
            for n in 0..deliveries.len() {
                let datagram = received(&daemon).await;
                assert!(datagram.ends_with(format!("{{\"n\":{n}}}\0").as_bytes()), "{n}");
            }
            deliveries.len()
        });
        assert_eq!(outcomes, vec![Outcome::Delivered; count]);
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_is_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _daemon = UnixDatagram::bind(&path).unwrap();
        let renderer = Renderer::new(JsonFormat::default(), Zones::bundled());
        let sink = CyrusNotify::new(&path, "lab", renderer, Duration::from_millis(20), SendDeadline::default());
        let outcomes = sink.send(&vec![delivery("{}"); 3_000]).await;
        assert_eq!(outcomes.len(), 3_000);
        assert_eq!(outcomes.first(), Some(&Outcome::Delivered));
        assert!(matches!(outcomes.last(), Some(Outcome::Retry { response, .. }) if response.contains("is full")));
    }

    #[tokio::test]
    async fn what_is_too_long_for_a_datagram_is_cut_and_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let long = Notification { description: "Grüße\n".repeat(200_000), ..melbourne() };
        let sink = sink(&path);
        let sent = sink.send(&[delivery(&serde_json::to_string(&long).unwrap())]).await;
        assert_eq!(sent, [Outcome::Delivered]);
        let (datagram, limit) = (received(&daemon).await, sink.connect().unwrap().limit);
        assert!(datagram.len() <= limit && datagram.len() > limit - 8, "{} of {limit}", datagram.len());
        let json = datagram.strip_prefix(b"lab\0EVENT\0\0\0\x000\0").and_then(|rest| rest.strip_suffix(b"\0")).unwrap();
        let kept: Notification = serde_json::from_slice(json).unwrap();
        assert!(long.description.starts_with(&kept.description));
        assert_eq!(kept, Notification { description: kept.description.clone(), ..long });
    }

    #[tokio::test]
    async fn an_alarm_for_thousands_is_cut_to_as_many_as_fit_and_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let sink = sink(&path);
        let people = |count: usize| (0..count).map(|n| format!("mailto:{n:06}@example.org")).collect::<Vec<_>>();
        for (recipients, attendees) in [(20_000, 0), (2_000, 20_000), (20_000, 20_000)] {
            let long = Notification {
                alarm_recipients: people(recipients),
                attendee_names: people(attendees),
                attendee_emails: people(attendees),
                attendee_status: people(attendees),
                ..melbourne()
            };
            assert_eq!(sink.send(&[delivery(&serde_json::to_string(&long).unwrap())]).await, [Outcome::Delivered]);
            let (datagram, limit) = (received(&daemon).await, sink.connect().unwrap().limit);
            // One more of either would not have fitted.
            assert!(datagram.len() <= limit && datagram.len() > limit - 90, "{} of {limit}", datagram.len());
            let json = datagram.strip_prefix(b"lab\0EVENT\0\0\0\x000\0").unwrap().strip_suffix(b"\0").unwrap();
            let kept: Notification = serde_json::from_slice(json).unwrap();
            assert_eq!(kept.attendee_names.is_empty(), attendees == 0 || kept.alarm_recipients.len() < recipients);
            assert!(long.alarm_recipients.starts_with(&kept.alarm_recipients) && kept.alarm_recipients.len() >= 2_000);
            for list in [&kept.attendee_names, &kept.attendee_emails, &kept.attendee_status] {
                assert_eq!(list, &people(kept.attendee_names.len()));
            }
            assert_eq!((kept.uid, kept.summary), (long.uid, long.summary));
        }
    }

    #[tokio::test]
    async fn another_kind_of_socket_is_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _stream = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let outcomes = sink(&path).send(&[delivery("{}")]).await;
        assert_eq!(outcomes, [Outcome::retry(format!("{} is no datagram socket", path.display()))]);
    }
}

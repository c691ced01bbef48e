//! A CalDAV server on loopback with one calendar, or an account of several: enough of RFC 4791 and RFC 6578 for a
//! sync of it (PROPFIND, sync-collection, calendar-multiget), made once and answered from memory, so that what is
//! measured is the client.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::synthetic::file;

/// Where the calendar is.
const CALENDAR: &str = "/bench/";
/// Where an account of several calendars is.
const HOME: &str = "/home/";
/// Octets of a request that is read; a multiget of a hundred hrefs has 5 kB.
const MAX_BODY: usize = 1 << 20;

/// The running server; it stops when it is dropped.
#[derive(Debug)]
pub(super) struct CalendarServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    calendar: Arc<ServedCalendar>,
}

/// What the server has.
#[derive(Debug)]
struct ServedCalendar {
    /// The objects that it gives, as XML has them.
    objects: Vec<String>,
    /// How many it lists.
    listed: AtomicUsize,
    /// Milliseconds that it takes to respond.
    delay: AtomicU64,
    /// Requests so far.
    requests: AtomicU64,
    /// Octets of the bodies of responses so far.
    octets: AtomicU64,
    /// How many calendars the account has that the objects are in, one after the other.
    calendars: usize,
    /// By path, the one object of a calendar that was changed.
    changed: Mutex<HashMap<String, ServedChange>>,
}

/// An object that changes.
#[derive(Clone, Debug)]
struct ServedChange {
    /// How often it has changed: its entity tag.
    version: u32,
    /// As XML has it.
    text: String,
}

impl CalendarServer {
    /// Serves a calendar of `texts`, on a port of its own.
    ///
    /// # Errors
    /// When loopback has no port left.
    pub(super) fn start(texts: &[String]) -> std::io::Result<CalendarServer> {
        CalendarServer::start_with(texts, 0)
    }

    /// Serves a calendar of `texts`, and an account whose `calendars` share them.
    ///
    /// # Errors
    /// When loopback has no port left.
    pub(super) fn start_with(texts: &[String], calendars: usize) -> std::io::Result<CalendarServer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stopping = Arc::<AtomicBool>::default();
        let objects = texts.iter().map(|text| escaped(text)).collect();
        let listed = AtomicUsize::new(texts.len());
        let [delay, requests, octets] = std::array::from_fn(|_| AtomicU64::new(0));
        let changed = Mutex::default();
        let calendar = Arc::new(ServedCalendar { objects, listed, delay, requests, octets, calendars, changed });
        let (stop, served) = (stopping.clone(), calendar.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let served = served.clone();
                thread::spawn(move || serve(stream, &served));
            }
        });
        Ok(CalendarServer { address, stopping, calendar })
    }

    /// Takes `delay` to respond from now on.
    pub(super) fn respond_after(&self, delay: Duration) {
        self.calendar.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// How many requests have come so far.
    pub(super) fn requests(&self) -> u64 {
        self.calendar.requests.load(Ordering::SeqCst)
    }

    /// How many octets the bodies of its responses had so far.
    pub(super) fn octets(&self) -> u64 {
        self.calendar.octets.load(Ordering::SeqCst)
    }

    /// The address of its account.
    pub(super) fn home(&self) -> String {
        format!("http://{}{HOME}", self.address)
    }

    /// Puts `text` into the calendar at `path`, as the one object in it that changes.
    pub(super) fn change(&self, path: &str, text: &str) {
        let mut changed = self.calendar.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let version = changed.get(path).map_or(0, |object| object.version).saturating_add(1);
        changed.insert(path.to_owned(), ServedChange { version, text: escaped(text) });
    }

    /// Its address; each path below it of one segment is a calendar.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lists the first `count` objects from now on, also those whose text it does not have.
    pub(super) fn list(&self, count: usize) {
        self.calendar.listed.store(count, Ordering::SeqCst);
    }

    /// The calendar as a source of the configuration.
    pub(super) fn source(&self) -> String {
        format!(
            "[[source]]\nkind = 'caldav'\nname = 'server'\nuser = 'bench'\nurl = 'http://{}{CALENDAR}'\n",
            self.address
        )
    }
}

impl Drop for CalendarServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The listener waits for somebody to call.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, served: &ServedCalendar) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(request) = BenchRequest::read(&mut stream) {
        served.requests.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(served.delay.load(Ordering::SeqCst)));
        let (status, body) = answer(&request, served);
        served.octets.fetch_add(body.len() as u64, Ordering::SeqCst);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/xml; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = stream.get_mut();
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            break;
        }
    }
}

struct BenchRequest {
    method: String,
    path: String,
    /// The header Depth says 1.
    is_deep: bool,
    body: String,
}

impl BenchRequest {
    /// The next request on the connection; none when there is none, or none that can be read.
    fn read(stream: &mut BufReader<TcpStream>) -> Option<BenchRequest> {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let (mut is_deep, mut length) = (false, 0);
        loop {
            line.clear();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "depth" => is_deep = value.trim() == "1",
                "content-length" => length = value.trim().parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; Some(length).filter(|length| *length <= MAX_BODY)?];
        stream.read_exact(&mut body).ok()?;
        Some(BenchRequest { method, path, is_deep, body: String::from_utf8(body).ok()? })
    }
}

fn answer(request: &BenchRequest, served: &ServedCalendar) -> (&'static str, String) {
    let path = request.path.as_str();
    let inside = path.strip_prefix(HOME).filter(|_| served.calendars > 0);
    let members = match inside {
        Some(calendar) => served.share(calendar),
        None => 0..served.listed.load(Ordering::SeqCst),
    };
    let changed = served.changed_at(path);
    let token = changed.as_ref().map_or_else(|| TOKEN.to_owned(), |object| format!("{TOKEN}:{}", object.version));
    let members =
        || members_at(path, members.clone()) + &changed.as_ref().map(|one| one.listed(path)).unwrap_or_default();
    let body = match request.method.as_str() {
        "PROPFIND" if inside == Some("") => {
            let calendars = (0..served.calendars).filter(|_| request.is_deep);
            calendars.fold(collection(path), |all, n| all + &calendar(&format!("{path}c{n}/"), TOKEN))
        }
        _ if path.matches('/').count() != if inside.is_some() { 3 } else { 2 } => {
            return ("404 Not Found", String::new());
        }
        "PROPFIND" if request.is_deep => calendar(path, &token) + &members(),
        "PROPFIND" => calendar(path, &token),
        "REPORT" if request.body.contains("sync-collection") => {
            // What has a token has everything but the object that changes.
            let all = match (request.body.contains(TOKEN), &changed) {
                (false, _) => members(),
                (true, Some(object)) if !request.body.contains(&format!("{token}<")) => object.listed(path),
                _ => String::new(),
            };
            return ("207 Multi-Status", multistatus(&all, Some(&token)));
        }
        "REPORT" => multiget(&request.body, &served.objects, changed.as_ref()),
        _ => return ("405 Method Not Allowed", String::new()),
    };
    ("207 Multi-Status", multistatus(&body, None))
}

impl ServedCalendar {
    /// Which objects are in `calendar` of the account: `c7/` has the eighth part of them.
    fn share(&self, calendar: &str) -> Range<usize> {
        let number = calendar.strip_prefix('c').and_then(|rest| rest.strip_suffix('/')?.parse().ok());
        let Some(number) = number.filter(|number: &usize| *number < self.calendars) else { return 0..0 };
        let start = |number: usize| number.saturating_mul(self.objects.len()) / self.calendars.max(1);
        start(number)..start(number.saturating_add(1))
    }
}

const TOKEN: &str = "urn:bench:sync:one";

/// The name of the object that changes.
const CHANGED: &str = "changed.ics";

impl ServedCalendar {
    /// The object of the calendar at `path` that was changed.
    fn changed_at(&self, path: &str) -> Option<ServedChange> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

impl ServedChange {
    /// As a member of the calendar at `path`.
    fn listed(&self, path: &str) -> String {
        member(&format!("{path}{CHANGED}"), self.version)
    }
}

fn multistatus(inside: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("<D:sync-token>{token}</D:sync-token>")).unwrap_or_default();
    format!(
        "<?xml version='1.0'?><D:multistatus xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'>{inside}{token}\
         </D:multistatus>"
    )
}

fn calendar(path: &str, token: &str) -> String {
    format!(
        "<D:response><D:href>{path}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/><C:calendar/>\
         </D:resourcetype><D:displayname>bench</D:displayname><D:sync-token>{token}</D:sync-token></D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

fn collection(path: &str) -> String {
    format!(
        "<D:response><D:href>{path}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>\
         </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

/// The objects with these numbers, as members of the calendar at `path`.
fn members_at(path: &str, numbers: Range<usize>) -> String {
    numbers.fold(String::new(), |all, n| all + &member(&format!("{path}{}", file(n as u64)), 1))
}

fn member(href: &str, version: u32) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>\"{version}\"</D:getetag></D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

/// The objects whose hrefs `body` lists.
fn multiget(body: &str, objects: &[String], changed: Option<&ServedChange>) -> String {
    let mut all = String::new();
    for href in body.split("<D:href>").skip(1).filter_map(|rest| rest.split('<').next()) {
        let number = href.rsplit('/').next().and_then(|name| name.strip_suffix(".ics"));
        let text = number.and_then(|number| number.parse().ok()).and_then(|n: usize| objects.get(n));
        let changed = changed.filter(|_| href.ends_with(CHANGED)).map(|object| (&object.text, object.version));
        let _ = match text.map(|text| (text, 1)).or(changed) {
            Some((text, version)) => write!(
                all,
                "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>\"{version}\"</D:getetag>\
                 <C:calendar-data>{text}</C:calendar-data></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>\
                 </D:response>"
            ),
            None => write!(
                all,
                "<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>"
            ),
        };
    }
    all
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\r', "&#13;")
}

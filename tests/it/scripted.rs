//! A server that says what a test tells it to: for what real servers do rarely, or only other ones than we can run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    /// The header `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// `METHOD /path`, and for a REPORT its kind.
    pub fn line(&self) -> String {
        let kinds = ["sync-collection", "calendar-multiget"];
        let kind = kinds.iter().find(|kind| self.method == "REPORT" && self.body.contains(*kind));
        format!("{} {}{}", self.method, self.path, kind.map(|kind| format!(" {kind}")).unwrap_or_default())
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The pause before each of so many parts of it.
    pub slow: Option<(Duration, usize)>,
    /// It is sent so many times, one after the other.
    pub times: usize,
    /// Only half of it is sent before the connection is closed.
    pub is_cut: bool,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), slow: None, times: 1, is_cut: false }
    }

    /// Closes the connection instead of answering.
    pub fn hang_up() -> Reply {
        Reply::status(0)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Reply {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    /// It comes in `parts`, each after a `pause`.
    pub fn slow(mut self, pause: Duration, parts: usize) -> Reply {
        self.slow = Some((pause, parts));
        self
    }

    /// The body comes `times` times, as one.
    pub fn times(mut self, times: usize) -> Reply {
        self.times = times;
        self
    }

    /// Only half of the body comes.
    pub fn cut(mut self) -> Reply {
        self.is_cut = true;
        self
    }

    /// A multistatus; `inside` may use the prefixes D (DAV), C (CalDAV) and S (calendarserver.org).
    pub fn multistatus(inside: &str) -> Reply {
        Reply::status(207).header("Content-Type", "text/xml; charset=utf-8").body(format!(
            "<?xml version='1.0'?><D:multistatus xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' \
             xmlns:S='http://calendarserver.org/ns/'>{inside}</D:multistatus>"
        ))
    }
}

/// The running server; it stops when dropped.
pub struct Scripted {
    pub url: String,
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stopping: Arc<AtomicBool>,
}

impl Scripted {
    /// Starts a server on a loopback port that answers with `answer`, one request after the other.
    pub fn start(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let stopping = Arc::<AtomicBool>::default();
        let answer = Arc::new(Mutex::new(answer));
        let (log, stop) = (asked.clone(), stopping.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read(&mut stream) {
                        log.lock().unwrap().push(request.clone());
                        let reply = answer.lock().unwrap()(&request);
                        if reply.status == 0 || write(stream.get_mut(), &reply).is_none() {
                            break;
                        }
                    }
                });
            }
        });
        Scripted { url: format!("http://{address}/"), address, asked, stopping }
    }

    /// The requests since this was asked last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The same in short: [`Asked::line`].
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, path, headers, body: String::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    // What is not text keeps its octets, each as a character.
    asked.body =
        String::from_utf8(body).unwrap_or_else(|other| other.into_bytes().into_iter().map(char::from).collect());
    Some(asked)
}

fn write(stream: &mut TcpStream, reply: &Reply) -> Option<()> {
    let length = reply.body.len() * reply.times;
    let mut head = format!("HTTP/1.1 {} Said\r\nContent-Length: {length}\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut octets = format!("{head}\r\n").into_bytes();
    let sent = if reply.is_cut { reply.body.len() / 2 } else { reply.body.len() };
    octets.extend_from_slice(&reply.body[..sent]);
    let (pause, parts) = reply.slow.unwrap_or((Duration::ZERO, 1));
    for part in octets.chunks(octets.len().div_ceil(parts)) {
        thread::park_timeout(pause);
        stream.write_all(part).ok()?;
    }
    for _ in 1..reply.times {
        stream.write_all(&reply.body).ok()?;
    }
    (!reply.is_cut).then_some(())
}

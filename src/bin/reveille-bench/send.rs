//! `reveille-bench send`: alarms that go out one request, or one program, each.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::child::DaemonProcess;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::table::Figure;
use super::{BenchContext, counted, fire};

/// Requests or programs at the same time: the default of `max_concurrent`.
const CONCURRENT: usize = 8;

/// Alarms that go out by a request, or by a program, each
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many alarms are due at once
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub(super) alarms: u32,
    /// Where they go
    #[arg(long, value_enum, default_value_t, value_name = "SINK")]
    pub(super) sink: MessageOutlet,
}

/// A sink that sends each alarm by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum MessageOutlet {
    /// The sink `webhook`
    #[default]
    Webhook,
    /// The sink `command`
    Command,
}

/// What the other end has got.
enum MessageEnd {
    Server(HttpReceiver),
    /// A file that programs append to.
    Programs(PathBuf),
}

impl MessageEnd {
    fn start(sender: MessageOutlet, site: &Site, name: &str) -> anyhow::Result<MessageEnd> {
        Ok(match sender {
            MessageOutlet::Webhook => MessageEnd::Server(HttpReceiver::start()?),
            MessageOutlet::Command => MessageEnd::Programs(site.at(name)),
        })
    }

    /// The sink, as TOML.
    fn sink(&self) -> String {
        match self {
            MessageEnd::Server(server) => {
                format!("[[sink]]\nkind = 'webhook'\nurl = 'http://{}/'\nallow_private = true\n", server.address)
            }
            MessageEnd::Programs(file) => {
                let [program, arguments @ ..] = program(file);
                let arguments: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
                format!("[[sink]]\nkind = 'command'\nargv = ['{program}', {}]\n", arguments.join(", "))
            }
        }
    }

    /// Everything that has come.
    fn bodies(&self) -> anyhow::Result<Vec<String>> {
        match self {
            MessageEnd::Server(server) => Ok(server.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            // Programs do not write line ends.
            MessageEnd::Programs(file) => Ok(fs::read_to_string(file)?.lines().map(str::to_owned).collect()),
        }
    }

    /// Sends `body` as a bare client does, on `connection`.
    fn send(&self, connection: &mut Option<BufReader<TcpStream>>, body: &str) -> anyhow::Result<()> {
        match self {
            MessageEnd::Server(server) => {
                let stream = match connection {
                    Some(stream) => stream,
                    none => none.insert(BufReader::new(TcpStream::connect(server.address)?)),
                };
                post(stream, body)
            }
            MessageEnd::Programs(file) => {
                let [program, arguments @ ..] = program(file);
                let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn()?;
                child.stdin.take().context("no standard input")?.write_all(body.as_bytes())?;
                ensure!(child.wait()?.success(), "a program failed");
                Ok(())
            }
        }
    }
}

/// A program that appends its input to `file`, as a line.
fn program(file: &Path) -> [String; 4] {
    ["sh", "-c", "read -r line; echo \"$line\" >>\"$0\"", &file.display().to_string()].map(str::to_owned)
}

fn post(stream: &mut BufReader<TcpStream>, body: &str) -> anyhow::Result<()> {
    let head = format!("POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(format!("{head}{body}").as_bytes())?;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the connection ended");
    }
    Ok(())
}

/// A server that takes what is posted and keeps it.
struct HttpReceiver {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl HttpReceiver {
    fn start() -> anyhow::Result<HttpReceiver> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let receiver = HttpReceiver { address: listener.local_addr()?, bodies: Arc::default() };
        let bodies = Arc::clone(&receiver.bodies);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let bodies = Arc::clone(&bodies);
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(body) = read_request(&mut stream) {
                        bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                        if stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Ok(receiver)
    }
}

/// The body of the next request; none at the end of the connection.
fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).ok().filter(|octets| *octets > 0)?;
        let value = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(length);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let name = if args.sink == MessageOutlet::Webhook { "webhook" } else { "command" };
    let run = format!("send: {} events to {name}", counted(args.alarms.into()));
    let site = Site::new(parent)?;
    let server = CalendarServer::start(&[])?;
    let other = MessageEnd::start(args.sink, &site, "sent")?;
    site.configure_sink(&server.source(), &other.sink())?;
    let fire = fire::Args { alarms: args.alarms, series: false, sink: Outlet::File };
    fire::arm(&fire, &site, context)?;
    let mut daemon = DaemonProcess::start(&site.config())?;
    let total = args.alarms as usize;
    daemon.wait(Duration::from_millis(300), || Ok(site.lateness()?.len() >= total))?;
    let lateness = site.lateness()?;
    daemon.stop()?;
    let bodies = other.bodies()?;
    let id = |body: &String| serde_json::from_str::<Value>(body).ok()?.get("notificationId").cloned();
    let ids: HashSet<String> = bodies.iter().filter_map(id).map(|id| id.to_string()).collect();
    ensure!(ids.len() == total, "of {total} alarms {} have arrived", ids.len());
    context.printer.note(format!("{run}: measuring the raw limit"));
    let raw = raw_limit(&MessageEnd::start(args.sink, &site, "raw")?, &bodies)?;
    let last = lateness.last().copied().unwrap_or_default().max(1.0);
    Ok(vec![
        Figure::new(&run, "delivered", total as f64 * 1_000.0 / last, "/s")
            .beside(bodies.len() as f64 / raw.as_secs_f64()),
        Figure::new(&run, "arrived more than once", bodies.len().saturating_sub(total) as f64, "").at_most(0.0),
        Figure::new(&run, "lateness, the last", last, "ms"),
    ])
}

/// How long a bare client takes for `bodies`, as many at the same time as the sink.
fn raw_limit(other: &MessageEnd, bodies: &[String]) -> anyhow::Result<Duration> {
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let work = || {
        let mut connection = None;
        while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
            other.send(&mut connection, body)?;
        }
        anyhow::Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONCURRENT).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    Ok(began.elapsed())
}

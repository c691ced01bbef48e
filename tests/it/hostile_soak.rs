//! A soak beside hostile neighbours: a real daemon fires alarms of a thousand ordinary users, while one account is on a
//! server that answers everything but what it was asked, one user's files are made to cost as much as they may, one
//! mail server is gone and one takes many seconds for each word. At the end each ordinary alarm is in the file once,
//! and was fired when it was due.
//!
//! It runs as long as it is told, and not at all otherwise; how late alarms may be holds for a release build:
//!
//! ```text
//! REVEILLE_SOAK_SECONDS=1800 cargo test --release --test it hostile_soak -- --nocapture
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reveille::clock::Clock;
use reveille::time::UtcMillis;
use serde_json::Value;

use crate::chance::Chance;
use crate::daemon::{Daemon, undisturbed};
use crate::scripted::{Asked, Reply, Scripted};
use crate::servers::free_port;

const USERS: usize = 1_000;
/// Of those, so many get mail as well, by both mail servers.
const MAILED: usize = 20;
/// Alarms of ordinary users that are due in each second.
const ALARMS_A_SECOND: usize = 10;
/// Between writing the files and the first alarm, in which the daemon starts and reads them.
const LEAD: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 20 });
/// How long after the last alarm the file may be complete.
const GRACE: Duration = Duration::from_secs(60);
/// What the slow mail server takes for each answer.
const WORD: Duration = Duration::from_secs(7);
/// The most that an alarm may be late, of 99 in 100, milliseconds.
const LATE: i64 = 100;
/// The most lines of warnings and errors.
const MOST_LINES: usize = 100;
/// Octets of the one large event, and its attendees.
const LARGE: usize = 98 * 1024 * 1024 / 10;
const ATTENDEES: usize = 1_950;
/// Octets of the file of rare rules.
const RULES: usize = 1_000_000;
/// Octets of an answer without an end: more than the daemon reads of one.
const ENDLESS: usize = 70 * 1024 * 1024;
/// Calendars of the hostile account.
const CALENDARS: usize = 12;

fn now() -> i64 {
    Clock::System.now().0
}

fn user(n: usize) -> String {
    format!("user{n:04}")
}

/// An ordinary event, whose alarm fires at its start.
fn ordinary(number: usize, due: UtcMillis) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//soak//EN\r\nBEGIN:VEVENT\r\nUID:{}\r\n\
         DTSTAMP:20260101T000000Z\r\nDTSTART:{}\r\nSUMMARY:Number {number}\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\n\
         TRIGGER:PT0S\r\nDESCRIPTION:D\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        uid(number),
        due.basic()
    )
}

fn uid(number: usize) -> String {
    format!("ordinary-{number}")
}

/// Events whose rules name each minute of nearly no day.
fn rare_rules() -> String {
    let mut text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//soak//EN\r\n".to_owned();
    let mut number = 0;
    while text.len() < RULES {
        number += 1;
        let _ = write!(text, "BEGIN:VEVENT\r\nUID:rare-{number}\r\nDTSTART:20200101T000000Z\r\n");
        for rule in 0..64 {
            let _ = write!(
                text,
                "RRULE:FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR={};BYMINUTE={};BYSECOND={}\r\n",
                rule % 24,
                rule % 60,
                number % 60
            );
        }
        text += "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:PT0S\r\nEND:VALARM\r\nEND:VEVENT\r\n";
    }
    text + "END:VCALENDAR\r\n"
}

/// An event of as many octets and attendees as one may have, whose alarms fire twice a minute.
fn large(from: UtcMillis) -> String {
    let mut text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//soak//EN\r\nBEGIN:VEVENT\r\nUID:large\r\n\
         DTSTART:{}\r\nRRULE:FREQ=SECONDLY;INTERVAL=30\r\nSUMMARY:Large\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\n\
         TRIGGER:PT0S\r\nDESCRIPTION:D\r\nEND:VALARM\r\n",
        from.basic()
    );
    let name = "n".repeat((LARGE - text.len()) / ATTENDEES - 64);
    for n in 0..ATTENDEES {
        let _ = write!(text, "ATTENDEE;CN={name};PARTSTAT=ACCEPTED:mailto:{n}@example.org\r\n");
    }
    text + "END:VEVENT\r\nEND:VCALENDAR\r\n"
}

/// Writes the calendars as Radicale does: `USER/work/NAME.ics`. Returns when each ordinary alarm is due, by UID.
fn write_calendars(root: &Path, from: i64, seconds: usize) -> HashMap<String, i64> {
    let folder = |user: &str| {
        let folder = root.join(user).join("work");
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let folders: Vec<_> = (0..USERS).map(|n| folder(&user(n))).collect();
    let mut due = HashMap::new();
    for number in 0..seconds * ALARMS_A_SECOND {
        let at = from + i64::try_from(number / ALARMS_A_SECOND).unwrap() * 1_000;
        fs::write(folders[number % USERS].join(format!("{number}.ics")), ordinary(number, UtcMillis(at))).unwrap();
        due.insert(uid(number), at);
    }
    let hostile = folder("mallory");
    fs::write(hostile.join("rules.ics"), rare_rules()).unwrap();
    fs::write(hostile.join("large.ics"), large(UtcMillis(from))).unwrap();
    due
}

/// `unit`, 32 octets long, over and over, packed by gzip: two octets for 258 each (RFC 1951, fixed Huffman codes).
fn packed(unit: &[u8; 32], times: usize) -> Vec<u8> {
    let (mut octets, mut bits, mut count) = (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], 0_u32, 0);
    let mut put = |octets: &mut Vec<u8>, value: u32, length: u32| {
        bits |= value << count;
        count += length;
        while count >= 8 {
            octets.push(u8::try_from(bits & 255).unwrap());
            bits >>= 8;
            count -= 8;
        }
    };
    // A code begins with its highest bit, a number with its lowest.
    let code = |value: u32, length: u32| value.reverse_bits() >> (32 - length);
    put(&mut octets, 0b011, 3);
    for octet in unit {
        put(&mut octets, code(0x30 + u32::from(*octet), 8), 8);
    }
    for _ in 0..times {
        // The length 258, then the distance 25 + 7.
        put(&mut octets, code(0xc5, 8), 8);
        put(&mut octets, code(9, 5), 5);
        put(&mut octets, 7, 3);
    }
    octets
}

/// The server of the hostile account: it says where calendars are, mostly, and nothing of use of what is in them. What
/// it has answered is counted by manner.
fn hostile_server(counts: &Arc<Mutex<BTreeMap<&'static str, usize>>>) -> Scripted {
    let (counts, mut turn, mut chance) = (counts.clone(), 0_usize, Chance::new(7));
    let response = |href: &str, props: &str| {
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop><D:status>HTTP/1.1 200 OK\
             </D:status></D:propstat></D:response>"
        )
    };
    let head = "<?xml version='1.0'?><D:multistatus xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'>";
    let member = response("/cal/0/a.ics", "<D:getetag>\"1\"</D:getetag>");
    let endless = head.to_owned() + &member.repeat(ENDLESS / member.len());
    let bomb = packed(b"<D:response><D:x/></D:response>\n", ENDLESS / 258);
    Scripted::start(move |asked: &Asked| {
        turn += 1;
        let xml = |body: &str| Reply::status(207).header("Content-Type", "text/xml").body(body);
        let is_home = !asked.path.trim_start_matches("/cal/").contains('/');
        let (manner, reply) = match turn % 8 {
            manner if is_home && manner > 0 => {
                let calendars = (0..CALENDARS).map(|n| {
                    let kind = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><C:calendar-timezone/>";
                    response(&format!("/cal/{n}/"), &format!("{kind}<D:sync-token>t{turn}</D:sync-token>"))
                });
                let home = "<D:resourcetype><D:collection/></D:resourcetype><C:calendar-home-set><D:href>/cal/</D:href>\
                            </C:calendar-home-set>";
                ("sense", Reply::multistatus(&(response("/cal/", home) + &calendars.collect::<String>())))
            }
            0 | 1 => ("without an end", xml(&endless)),
            2 => ("packed without an end", Reply { body: bomb.clone(), ..xml("") }.header("Content-Encoding", "gzip")),
            3 => {
                let noise: Vec<u8> = (0..100_000).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
                ("noise", Reply { body: noise, ..xml("") })
            }
            4 => ("slow octets", xml(&member.repeat(10)).slow(Duration::from_secs(1), 20)),
            5 => {
                let nested = "<D:x>".repeat(1_000);
                ("too deep", xml(&format!("{head}{nested}")))
            }
            6 => {
                let elsewhere = response("https://elsewhere.example/cal/0/b.ics", "<D:getetag>\"1\"</D:getetag>");
                let not =
                    "<D:response><D:href>../../etc/passwd</D:href><D:status>HTTP/1.1 999 No</D:status></D:response>";
                ("a wrong multistatus", Reply::multistatus(&format!("{elsewhere}{not}<D:sync-token/>{member}")))
            }
            _ => ("nothing", Reply::hang_up()),
        };
        *counts.lock().unwrap().entry(manner).or_default() += 1;
        reply
    })
}

/// A mail server that says each word after a long pause; it stops when dropped.
struct SlowMail {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
}

impl SlowMail {
    fn start() -> SlowMail {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stopping) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let stop = stopping.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                thread::spawn(move || SlowMail::talk(stream));
            }
        });
        SlowMail { address, stopping }
    }

    /// One conversation.
    fn talk(mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        let mut say = |word: &str| {
            thread::park_timeout(WORD);
            stream.write_all(format!("{word}\r\n").as_bytes()).ok()
        };
        say("220 slow")?;
        let (mut line, mut is_mail) = (String::new(), false);
        loop {
            line.clear();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let word = line.trim_end();
            match (is_mail, word.get(..4).unwrap_or(word)) {
                (true, ".") => {
                    is_mail = false;
                    say("250 taken")?;
                }
                (true, _) => {}
                (false, "DATA") => {
                    is_mail = true;
                    say("354 go on")?;
                }
                (false, "QUIT") => return say("221 bye"),
                (false, _) => say("250 well")?,
            }
        }
    }
}

impl Drop for SlowMail {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// The daemon's settings.
fn settings(folder: &Path, hostile: &str, slow: SocketAddr) -> String {
    let path = folder.display();
    let mailed: Vec<String> = (0..MAILED).map(|n| format!("\"{}\"", user(n))).collect();
    let mailed = mailed.join(", ");
    let mut text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n\
         [[source]]\nkind = \"directory\"\nname = \"ordinary\"\npath = \"{path}/calendars\"\nlayout = \"radicale\"\n\
         [[source]]\nkind = \"caldav\"\nname = \"hostile\"\nuser = \"hostile\"\nurl = \"{hostile}cal/\"\npoll_interval = \"2s\"\n\
         timeout = \"5s\"\n\
         [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"{path}/alarms.jsonl\"\n"
    );
    for (name, address) in [("dead", SocketAddr::from(([127, 0, 0, 1], free_port()))), ("slow", slow)] {
        let _ = write!(
            text,
            "[[sink]]\nkind = \"email\"\nname = \"{name}\"\nurl = \"smtp+plain://{address}\"\nfrom = \"soak@example.org\"\n\
             recipients = [\"all@example.org\"]\nactions = [\"display\"]\nusers = [{mailed}, \"mallory\"]\n"
        );
    }
    text
}

/// What is watched of the daemon while it runs.
#[derive(Debug, Default)]
struct Watched {
    /// KiB of memory that it uses, and when.
    memory: Vec<(i64, u64)>,
    /// When each UID came into the file, by this process's clock.
    arrived: HashMap<String, i64>,
}

/// The kibibytes that `/proc/PID/status` gives for `what`.
fn kibibytes(pid: i32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Follows the file at `path` and the memory of the process `pid` until it is told to stop.
fn follow(path: &Path, pid: i32, watched: &Arc<Mutex<Watched>>, stopping: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (path, watched, stopping) = (path.to_owned(), watched.clone(), stopping.clone());
    thread::spawn(move || {
        let (mut file, mut rest, mut sampled) = (None, Vec::new(), 0);
        while !stopping.load(Ordering::SeqCst) {
            let at = now();
            if at - sampled >= 1_000 {
                sampled = at;
                watched.lock().unwrap().memory.push((at, kibibytes(pid, "VmRSS")));
            }
            if file.is_none() {
                file = File::open(&path).ok();
            }
            if let Some(file) = &mut file {
                file.read_to_end(&mut rest).unwrap();
                let end = rest.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
                for line in rest.drain(..end).collect::<Vec<u8>>().split(|octet| *octet == b'\n') {
                    // The few long lines need not be read.
                    let Some(found) =
                        (line.len() < 4_096).then(|| serde_json::from_slice::<Value>(line).ok()).flatten()
                    else {
                        continue;
                    };
                    let uid = found["uid"].as_str().unwrap_or_default().to_owned();
                    watched.lock().unwrap().arrived.entry(uid).or_insert(at);
                }
            }
            thread::park_timeout(Duration::from_millis(5));
        }
    })
}

/// `median`, `p99` and the most of `values`.
fn spread(mut values: Vec<i64>) -> (i64, i64, i64) {
    values.sort_unstable();
    let at = |share: usize| values.get((values.len() * share / 100).min(values.len().saturating_sub(1)));
    let of = |share| at(share).copied().unwrap_or_default();
    (of(50), of(99), of(100))
}

/// How often each ordinary UID is in the file, when each was due and how late it was fired, and how many other lines
/// there are.
fn fired(path: &Path, due: &HashMap<String, i64>) -> (HashMap<String, usize>, Vec<(i64, i64)>, usize) {
    let (mut times, mut lateness, mut others) = (HashMap::new(), Vec::new(), 0);
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        let alarm: Value = serde_json::from_str(line).unwrap();
        let uid = alarm["uid"].as_str().unwrap();
        let Some(at) = due.get(uid) else {
            others += 1;
            continue;
        };
        *times.entry(uid.to_owned()).or_default() += 1;
        lateness.push((*at, UtcMillis::parse(alarm["timestamp"].as_str().unwrap()).unwrap().0 - at));
    }
    (times, lateness, others)
}

/// The kinds of log lines, which differ by more than numbers, and how many there are of each.
fn kinds(lines: &[&String]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for line in lines {
        let said = line.split_once(' ').map_or("", |(_, said)| said);
        let said: String = said.chars().filter(|c| !c.is_ascii_digit()).take(200).collect();
        *kinds.entry(said).or_default() += 1;
    }
    kinds
}

#[test]
fn hostile_neighbours_neither_lose_nor_delay_ordinary_alarms() {
    let Some(seconds) = std::env::var("REVEILLE_SOAK_SECONDS").ok() else {
        eprintln!("skipped: REVEILLE_SOAK_SECONDS says how long this soak takes");
        return;
    };
    let seconds: usize = seconds.parse().unwrap();
    let _quiet = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let (counts, slow) = (Arc::default(), SlowMail::start());
    let hostile = hostile_server(&counts);
    fs::write(folder.path().join("reveille.toml"), settings(folder.path(), &hostile.url, slow.address)).unwrap();
    let lead = i64::try_from(LEAD.as_millis()).unwrap();
    let from = (now() + lead).div_euclid(1_000) * 1_000;
    let due = write_calendars(&folder.path().join("calendars"), from, seconds);
    let alarms = folder.path().join("alarms.jsonl");

    let mut daemon = Daemon::start(folder.path(), &["run", "--config", "reveille.toml"]);
    let pid = daemon.pid().as_raw_nonzero().get();
    let (watched, stopping) = (Arc::<Mutex<Watched>>::default(), Arc::<AtomicBool>::default());
    let follower = follow(&alarms, pid, &watched, &stopping);
    let end = from + i64::try_from(seconds).unwrap() * 1_000;
    let is_complete = || due.keys().all(|uid| watched.lock().unwrap().arrived.contains_key(uid));
    while now() < end || (now() < end + i64::try_from(GRACE.as_millis()).unwrap() && !is_complete()) {
        // What was asked is kept, and not of use here.
        drop(hostile.asked());
        thread::park_timeout(Duration::from_millis(500));
    }
    let peak = kibibytes(pid, "VmHWM");
    stopping.store(true, Ordering::SeqCst);
    follower.join().unwrap();
    assert!(daemon.stop(Duration::from_secs(60)).success(), "{}", daemon.log.text());

    let (times, lateness, others) = fired(&alarms, &due);
    let lost = due.keys().filter(|uid| !times.contains_key(*uid)).count();
    let doubled = times.values().filter(|times| **times > 1).count();
    let watched = watched.lock().unwrap();
    let arrival: Vec<i64> = due.iter().filter_map(|(uid, at)| Some(watched.arrived.get(uid)? - at)).collect();
    let memory_at = |share: i64| {
        let at = from + (end - from) * share / 100;
        watched
            .memory
            .iter()
            .filter(|(when, _)| *when <= at)
            .map(|(_, kib)| kib / 1_024)
            .next_back()
            .unwrap_or_default()
    };
    let log = daemon.log.all();
    let troubles: Vec<&String> = log.iter().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).collect();
    let (median, p99, most) = spread(lateness.iter().map(|(_, late)| *late).collect());
    // Those that are due in the same second as the large event.
    let beside = lateness.iter().filter(|(at, _)| (at - from) % 30_000 == 0).map(|(_, late)| *late).collect();
    println!(
        "{seconds} s, {USERS} users: {} ordinary alarms, {lost} lost, {doubled} doubled; {others} others\n\
         fired after (ms): median {median}, p99 {p99}, most {most}; those beside the large event: {:?}; in the file after: {:?}\n\
         memory (MiB): {} after a fifth, {} at the end, peak {}\n\
         {} lines of warnings and errors; the hostile server answered {:?}",
        due.len(),
        spread(beside),
        spread(arrival),
        memory_at(20),
        memory_at(100),
        peak / 1_024,
        troubles.len(),
        counts.lock().unwrap()
    );
    for (kind, count) in kinds(&troubles) {
        println!("{count:6} {kind}");
    }
    assert!((lost, doubled) == (0, 0), "{lost} lost, {doubled} doubled\n{}", daemon.log.text());
    assert!(others > 0 && counts.lock().unwrap().len() > 3, "the neighbours were hostile");
    let is_late = p99 >= LATE && !cfg!(debug_assertions);
    let lines = troubles.len();
    assert!(
        !is_late && lines < MOST_LINES,
        "p99 {p99} ms late (less than {LATE}), {lines} lines (less than {MOST_LINES})"
    );
}

//! Subscribed calendars: feeds as Google and Outlook write them, servers that fail in every way, and what is kept and
//! shown of a secret address.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use reveille::clock::Clock;
use reveille::config::{
    Credentials, IcsSettings, LimitsConfig, PasswordScheme, SecretRef, SecretSource, SourceAlarms, SourceConfig,
    SourceKind,
};
use reveille::source::ics::{IcsError, IcsSource};
use reveille::source::{Evidence, Obstacle, SyncReport, SyncSource as _};
use reveille::time::UtcMillis;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::absence;
use crate::chance::Chance;
use crate::memory_store::Kept;
use crate::rehearsal::Stage;
use crate::scripted::{Asked, Reply, Scripted};

/// What stands in the address and must be in nothing that is written.
const TOKEN: &str = "private-0123456789abcdef";

/// A server of one feed, a source that watches it, and what that hands in.
struct Feed {
    server: Scripted,
    script: Arc<Mutex<Script>>,
    source: IcsSource,
    kept: Kept,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
}

/// What the server answers.
type Script = Box<dyn FnMut(&Asked) -> Reply + Send>;

fn settings(url: &str) -> (SourceConfig, IcsSettings) {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let settings = IcsSettings {
        url: SecretRef::written("url", url),
        allow_plaintext: false,
        calendar_name: None,
        credentials: Credentials::None,
        interval: minutes(15),
        min_interval: minutes(5),
        max_interval: minutes(24 * 60),
        timeout: Duration::from_secs(20),
        ca_file: None,
    };
    let source = SourceConfig {
        name: "holidays".to_owned(),
        user: Some("mary".to_owned()),
        login: "me".to_owned(),
        email: Vec::new(),
        zone: None,
        users: Arc::default(),
        calendars: Vec::new(),
        alarms: SourceAlarms::default(),
        kind: SourceKind::Ics(settings.clone()),
        write: false,
        origin: None,
    };
    (source, settings)
}

impl Feed {
    fn start(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Feed {
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let shared = script.clone();
        let server = Scripted::start(move |asked| shared.lock().unwrap()(asked));
        let (source, settings) = settings(&format!("{}ical/{TOKEN}/basic.ics", server.url));
        let clock = Clock::manual(UtcMillis::parse("2026-03-10T12:00:00Z").unwrap());
        let source = IcsSource::new(&source, &settings, &LimitsConfig::default(), clock.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Feed { server, script, source, kept: Kept::default(), clock, runtime }
    }

    /// One that answers with `text`.
    fn of(text: String) -> Feed {
        Feed::start(move |_| reply(&text))
    }

    /// From now on the server answers so.
    fn answers(&self, script: impl FnMut(&Asked) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    fn says(&self, text: String) {
        self.answers(move |_| reply(&text));
    }

    fn passes(&self, seconds: i64) {
        self.clock.set(self.clock.now().saturating_add(SignedDuration::from_secs(seconds)));
    }

    fn try_sync(&mut self) -> Result<SyncReport, IcsError> {
        self.runtime.block_on(self.source.sync_feed(&self.kept))
    }

    fn sync(&mut self) -> SyncReport {
        let report = self.try_sync().unwrap();
        assert!(report.faults.is_empty(), "{report:?}");
        report
    }

    /// The error of a sync that must fail; it names the host and not the rest.
    fn failure(&mut self) -> String {
        let told = self.try_sync().unwrap_err().to_string();
        assert!(!told.contains(TOKEN) && !told.contains("ical"), "{told}");
        let (_, host) = self.server.url.split_once("//").unwrap();
        assert!(told.contains(&format!("http://{host}…")), "{told}");
        told
    }

    fn summaries(&self) -> Vec<String> {
        self.kept.summaries("holidays")
    }
}

fn reply(text: &str) -> Reply {
    Reply::status(200).header("Content-Type", "text/calendar; charset=UTF-8").body(text)
}

fn calendar(head: &str, inside: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n{head}{inside}END:VCALENDAR\r\n")
}

/// An event at noon UTC of 10 March.
fn event(uid: &str, summary: &str) -> String {
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260310T130000Z\r\nSUMMARY:{summary}\r\n\
         BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT10M\r\nEND:VALARM\r\nEND:VEVENT\r\n"
    )
}

fn events(numbers: impl IntoIterator<Item = usize>) -> String {
    calendar("", &numbers.into_iter().map(|n| event(&format!("u{n}"), &format!("s{n}"))).collect::<String>())
}

/// `octets` packed as gzip, without compressing them.
fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = octets.chunks(0xffff).peekable();
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).unwrap();
        packed.push(u8::from(chunks.peek().is_none()));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(chunk);
    }
    let crc = octets.iter().fold(!0_u32, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    packed.extend((!crc).to_le_bytes());
    packed.extend(u32::try_from(octets.len()).unwrap().to_le_bytes());
    packed
}

/// A component for each of `count` events as Google writes them, every tenth one with an override.
fn google(count: usize, stamp: &str) -> Vec<String> {
    let of = |n: usize| {
        let head = format!(
            "BEGIN:VEVENT\r\nDTSTAMP:{stamp}\r\nUID:{n:08}@google.com\r\nCREATED:{stamp}\r\nLAST-MODIFIED:{stamp}\r\n\
             SEQUENCE:{}\r\nSTATUS:CONFIRMED\r\nTRANSP:OPAQUE\r\n",
            stamp.len() + stamp.ends_with("1Z") as usize
        );
        let day = 1 + n % 28;
        let alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-P0DT0H10M0S\r\nEND:VALARM\r\n";
        let when = match n % 10 {
            0 => format!("DTSTART;TZID=Europe/Berlin:202604{day:02}T090000\r\nRRULE:FREQ=DAILY;COUNT=9\r\n"),
            1 => format!("DTSTART;VALUE=DATE:202604{day:02}\r\n"),
            _ => format!("DTSTART:202604{day:02}T{:02}0000Z\r\n", n % 24),
        };
        let mut all = vec![format!("{head}{when}SUMMARY:s{n}\r\n{alarm}END:VEVENT\r\n")];
        if n.is_multiple_of(10) {
            let moved = format!(
                "RECURRENCE-ID;TZID=Europe/Berlin:202604{day:02}T090000\r\n\
                 DTSTART;TZID=Europe/Berlin:202604{day:02}T110000\r\n"
            );
            all.push(format!("{head}{moved}SUMMARY:moved{n}\r\n{alarm}END:VEVENT\r\n"));
        }
        all
    };
    (0..count).flat_map(of).collect()
}

/// The same as Outlook writes them: folded, with Windows' names of zones.
fn outlook(count: usize, stamp: &str) -> Vec<String> {
    let of = |n: usize| {
        format!(
            "BEGIN:VEVENT\r\nDESCRIPTION:\\n\r\nUID:040000008200E00074C5B7101A82E00800000000B8C5DFB8D5A5DC010000000000\r\n \
             000000{n:08}\r\nSUMMARY:s{n}\r\nDTSTART;TZID=W. Europe Standard Time:202604{:02}T{:02}3000\r\n\
             DTEND;TZID=W. Europe Standard Time:202604{0:02}T{1:02}4500\r\nCLASS:PUBLIC\r\nPRIORITY:5\r\n\
             DTSTAMP:{stamp}\r\nTRANSP:OPAQUE\r\nSTATUS:CONFIRMED\r\nSEQUENCE:0\r\nLOCATION:Microsoft Teams Mee\r\n ting\r\n\
             X-MICROSOFT-CDO-APPT-SEQUENCE:{}\r\nX-MICROSOFT-CDO-BUSYSTATUS:BUSY\r\n\
             BEGIN:VALARM\r\nDESCRIPTION:REMINDER\r\nTRIGGER;RELATED=START:-PT15M\r\nACTION:DISPLAY\r\nEND:VALARM\r\n\
             END:VEVENT\r\n",
            1 + n % 28,
            n % 24,
            stamp.len()
        )
    };
    (0..count).map(of).collect()
}

const BERLIN: &str = "BEGIN:VTIMEZONE\r\nTZID:W. Europe Standard Time\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\n\
    TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\n\
    BEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
    RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n";

/// The order of `all` by chance.
fn shuffled(mut all: Vec<String>, chance: &mut Chance) -> Vec<String> {
    for n in (1..all.len()).rev() {
        all.swap(n, chance.below(n + 1));
    }
    all
}

#[test]
fn a_feed_is_taken_apart_and_what_changes_in_it_is_handed_in() {
    let head = "X-WR-CALNAME:Ferien\r\nX-WR-TIMEZONE:Europe/Berlin\r\nCOLOR:tomato\r\n";
    let mut feed = Feed::of(calendar(head, &[event("a/1", "one"), event("b", "two")].concat()));
    assert_eq!(
        feed.sync(),
        SyncReport {
            calendars: 1,
            changes: 2,
            requests: 1,
            interval: Some(Duration::from_secs(900)),
            ..SyncReport::default()
        }
    );
    let calendar_seen = feed.kept.calendar("holidays").seen;
    let said = (calendar_seen.name.as_str(), calendar_seen.id.as_str(), calendar_seen.color.as_str());
    assert_eq!(said, ("Ferien", "holidays", "tomato"));
    assert_eq!((calendar_seen.zone.as_deref(), calendar_seen.user.as_str()), (Some("Europe/Berlin"), "mary"));
    assert_eq!(feed.kept.calendar("holidays").objects.keys().collect::<Vec<_>>(), ["a%2F1.ics", "b.ics"]);
    feed.says(calendar(head, &[event("c", "three"), event("b", "second")].concat()));
    assert_eq!(feed.sync().changes, 3);
    assert_eq!(feed.summaries(), ["second", "three"]);
    assert_eq!(feed.kept.counts(), (5, 4, 0));
}

/// A feed of 3,000 events, asked for a hundred times, each time in another order and with other time stamps.
fn refetched(head: &'static str, zones: &'static str, write: fn(usize, &str) -> Vec<String>) {
    const COUNT: usize = 3_000;
    let (mut chance, mut times) = (Chance::new(7), 0);
    let mut feed = Feed::start(move |_| {
        times += 1;
        let stamp = format!("202603{:02}T{:02}00{}Z", 1 + times % 28, times % 24, 10 + times % 40);
        let inside = shuffled(write(COUNT, &stamp), &mut chance).concat();
        reply(&if times % 2 == 0 {
            calendar(head, &(inside + zones))
        } else {
            calendar(head, &format!("{zones}{inside}"))
        })
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stage = absence::Stage::new("12:00").await;
        for n in 0..=100_i64 {
            feed.clock.set(absence::at("12:00").saturating_add(SignedDuration::from_mins(n)));
            stage.clock.set(feed.clock.now());
            let report = feed.source.sync_feed(&*stage.core.ingest).await.unwrap();
            assert_eq!((report.changes, report.faults), (if n == 0 { COUNT } else { 0 }, Vec::new()), "fetch {n}");
        }
        let options = SqliteConnectOptions::new().filename(stage.ledger()).read_only(true);
        let mut ledger = options.connect().await.unwrap();
        let sql = "SELECT count(*), sum(revision), count(faults) FROM objects";
        let counts: (i64, i64, i64) = sqlx::query_as(sql).fetch_one(&mut ledger).await.unwrap();
        assert_eq!(counts, (3_000, 3_000, 0), "objects, revisions, faults");
        let sql = "SELECT count(*), sum(revision) FROM timers";
        let timers: (i64, i64) = sqlx::query_as(sql).fetch_one(&mut ledger).await.unwrap();
        assert_eq!(timers, (3_000, 3_000), "nothing was planned again");
        let counted = stage.core.metrics.encode().unwrap();
        let changes = counted.lines().find(|line| line.starts_with("reveille_changes") && line.contains("holidays"));
        assert!(changes.is_some_and(|line| line.ends_with(" 3000")), "{counted}");
        // What is known of it fires.
        assert!(stage.fired("42 12:00").await.len() >= 100);
    });
}

#[test]
fn a_google_feed_that_is_only_written_anew_plans_nothing_again() {
    refetched(
        "CALSCALE:GREGORIAN\r\nMETHOD:PUBLISH\r\nX-WR-CALNAME:mary\r\nX-WR-TIMEZONE:Europe/Berlin\r\n",
        "",
        google,
    );
}

#[test]
fn an_outlook_feed_that_is_only_written_anew_plans_nothing_again() {
    refetched("METHOD:PUBLISH\r\nX-WR-CALNAME:Calendar\r\n", BERLIN, outlook);
}

#[test]
fn a_server_is_asked_whether_anything_has_changed() {
    let text = events(0..3);
    let conditional = |header: &'static str, value: &'static str, validator: &'static str| {
        let text = text.clone();
        move |asked: &Asked| match asked.header(header) {
            Some(sent) if sent == value => Reply::status(304),
            Some(sent) => panic!("{header}: {sent}"),
            None => reply(&text).header(validator, value),
        }
    };
    for (header, value, validator) in [
        ("if-none-match", "W/\"a, b\"", "ETag"),
        ("if-modified-since", "Sun, 22 Feb 2026 21:17:01 GMT", "Last-Modified"),
    ] {
        let mut feed = Feed::start(conditional(header, value, validator));
        assert_eq!(feed.sync().changes, 3);
        feed.kept.counts();
        assert_eq!((feed.sync().changes, feed.sync().requests), (0, 1));
        assert_eq!(feed.kept.counts(), (0, 0, 2), "{header}");
        // The next process knows it as well; after a day, the whole is asked for.
        let (source, mut settings) = settings(&format!("{}ical/{TOKEN}/basic.ics", feed.server.url));
        settings.calendar_name = Some("Mine".to_owned());
        feed.source = IcsSource::new(&source, &settings, &LimitsConfig::default(), feed.clock.clone());
        feed.server.asked();
        feed.sync();
        assert_eq!(feed.kept.calendar("holidays").seen.name, "Mine", "the name is another one, and the feed is not");
        assert!(feed.server.asked().iter().all(|asked| asked.header(header).is_some()));
        feed.passes(86_400);
        feed.sync();
        assert!(feed.server.asked().iter().all(|asked| asked.header(header).is_none()));
        // Another address is another file.
        settings.url = SecretRef::written("url", format!("{}other.ics", feed.server.url));
        feed.source = IcsSource::new(&source, &settings, &LimitsConfig::default(), feed.clock.clone());
        feed.sync();
        assert!(feed.server.asked().iter().all(|asked| asked.header(header).is_none()));
    }
}

#[test]
fn what_is_not_a_whole_calendar_takes_nothing_away() {
    let whole = events(0..30);
    let mut feed = Feed::of(whole.clone());
    feed.sync();
    let cut = whole[..whole.len() - 20].to_owned();
    let half = whole[..whole.len() / 2].to_owned();
    for text in [cut, half] {
        feed.says(text);
        assert!(feed.failure().contains("cut off"));
    }
    let promised = whole.clone();
    feed.answers(move |_| Reply { headers: Vec::new(), ..reply(&promised) }.header("Content-Encoding", "gzip"));
    assert!(feed.failure().contains("did not answer to the end"));
    feed.answers(|_| Reply::hang_up());
    assert!(feed.failure().contains("did not answer to the end"));
    feed.answers(|_| Reply::status(200).header("Content-Type", "text/html").body("<html>Sign in</html>"));
    assert!(feed.failure().contains("text/html instead of a calendar"));
    feed.answers(|_| Reply::status(200));
    assert!(feed.failure().contains("nothing instead of a calendar"));
    assert_eq!(feed.summaries().len(), 30);
}

#[test]
fn much_that_vanishes_has_to_be_missing_twice_and_all_of_it_for_a_day() {
    let mut feed = Feed::of(events(0..30));
    feed.sync();
    feed.says(events(1..30));
    feed.sync();
    assert_eq!(feed.summaries().len(), 29);
    feed.says(events(20..30));
    let report = feed.try_sync().unwrap();
    assert!(report.faults[0].contains("19 of 29"), "{report:?}");
    assert_eq!((feed.summaries().len(), report.again_in), (29, Some(Duration::from_secs(30))));
    feed.passes(29);
    assert_eq!(feed.try_sync().unwrap().again_in, Some(Duration::from_secs(1)));
    // What is back in between is no longer missing.
    feed.says(events(1..30));
    feed.sync();
    feed.says(events(20..30));
    feed.passes(31);
    assert_eq!(feed.try_sync().unwrap().faults.len(), 1);
    feed.passes(31);
    feed.sync();
    assert_eq!(feed.summaries().len(), 10);
    feed.says(events(0..30));
    feed.sync();
    feed.says(events([]));
    for _ in 0..24 {
        assert_eq!(feed.try_sync().unwrap().faults.len(), 1);
        feed.passes(3_600);
    }
    assert_eq!(feed.summaries().len(), 30);
    feed.sync();
    assert_eq!(feed.summaries().len(), 0);
}

#[test]
fn a_server_that_refuses_leaves_what_is_known() {
    let mut feed = Feed::of(events(0..3));
    feed.sync();
    for (status, told) in
        [(403, "still shared"), (500, "status 500"), (404, "(404)"), (410, "(410)"), (204, "204"), (304, "304")]
    {
        feed.answers(move |_| Reply::status(status));
        assert!(feed.failure().contains(told), "{status}");
        let evidence = feed.kept.calendar("holidays").evidence;
        let expected = match status {
            404 => Some(Evidence::AllGone),
            410 | 204 | 304 => Some(Evidence::Healthy),
            _ => None,
        };
        assert_eq!((evidence, feed.summaries().len()), (expected, 3), "{status}");
    }
    feed.answers(|_| Reply::status(429).header("Retry-After", "1800"));
    let Err(IcsError::Unavailable { status: 429, retry_after, .. }) = feed.try_sync() else { panic!() };
    assert_eq!(retry_after, Some(Duration::from_secs(1_800)));
    feed.says(events(0..3));
    feed.passes(86_400);
    assert_eq!((feed.sync().changes, feed.kept.calendar("holidays").evidence), (0, None));
}

#[test]
fn a_packed_answer_is_read_and_one_that_is_too_large_is_not() {
    let packed = gzip(events(0..3).as_bytes());
    let mut feed = Feed::start(move |asked| {
        assert!(asked.header("accept-encoding").is_some_and(|all| all.contains("gzip")));
        reply("").header("Content-Encoding", "gzip").body(packed.clone())
    });
    assert_eq!(feed.sync().changes, 3);
    feed.answers(|_| reply("").body(vec![b'\n'; 200_000_000]));
    let told = feed.failure();
    assert!(told.contains("limits.max_response_size") && feed.summaries().len() == 3, "{told}");
}

#[test]
fn time_zones_that_each_event_repeats_are_bounded() {
    let zone = format!("BEGIN:VTIMEZONE\r\nTZID:x\r\nCOMMENT:{}\r\nEND:VTIMEZONE\r\n", "x".repeat(1_000_000));
    let using =
        |n: usize| event(&format!("u{n}"), "s").replace("DTSTART:20260310T130000Z", "DTSTART;TZID=x:20260310T130000");
    let all = (0..300).map(using).collect::<String>();
    let mut feed = Feed::of(calendar("", &(zone + &all)));
    assert!(feed.failure().contains("with their time zones"));
}

#[test]
fn redirections_are_followed_but_not_with_the_login() {
    let target = Scripted::start(|asked| {
        assert_eq!(asked.header("authorization"), None);
        reply(&events(0..3))
    });
    let to = format!("{}{TOKEN}/there.ics", target.url);
    let mut feed = Feed::of(String::new());
    let (source, mut settings) = settings(&format!("{}ical/{TOKEN}", feed.server.url));
    settings.credentials = Credentials::Password {
        username: "mary".to_owned(),
        password: SecretSource::Kept(SecretRef::inline("sesame")),
        scheme: PasswordScheme::Basic,
    };
    feed.source = IcsSource::new(&source, &settings, &LimitsConfig::default(), feed.clock.clone());
    feed.answers(move |asked| {
        assert!(asked.header("authorization").is_some());
        Reply::status(302).header("Location", &to)
    });
    assert_eq!(feed.sync().changes, 3);
    assert_eq!(target.lines(), [format!("GET /{TOKEN}/there.ics")]);
    // A server that gets no login cannot have refused it.
    let refused = |feed: &mut Feed| feed.runtime.block_on(feed.source.sync(&feed.kept)).unwrap_err().obstacle;
    let closed = Scripted::start(|_| Reply::status(403));
    let to = closed.url.clone();
    feed.answers(move |_| Reply::status(302).header("Location", &to));
    assert_eq!(refused(&mut feed), Obstacle::Other);
    feed.answers(|_| Reply::status(403));
    assert_eq!(refused(&mut feed), Obstacle::Login);
    // Nor to another machine without encryption.
    feed.answers(|_| Reply::status(301).header("Location", &format!("http://feeds.example.org/{TOKEN}")));
    assert!(feed.failure().contains("redirects to http://feeds.example.org/…, without encryption"));
    let itself = format!("/ical/{TOKEN}");
    feed.answers(move |_| Reply::status(302).header("Location", &itself));
    assert!(feed.failure().contains("redirects more than 5 times"));
}

#[test]
fn a_feed_says_how_often_it_is_fetched() {
    let wish = "REFRESH-INTERVAL;VALUE=DURATION:PT2H\r\n";
    let mut feed = Feed::of(calendar(wish, &event("a", "a")));
    assert_eq!(feed.sync().interval, Some(Duration::from_secs(7_200)));
    feed.answers(|_| reply(&events(0..1)).header("Cache-Control", "private, max-age=3600"));
    assert_eq!(feed.sync().interval, Some(Duration::from_secs(3_600)));
}

#[test]
fn a_sync_that_ends_between_two_batches_is_continued() {
    let mut feed = Feed::of(events(0..2_500));
    feed.kept.fail_after(1);
    assert!(matches!(feed.try_sync(), Err(IcsError::Store(_))));
    assert_eq!(feed.summaries().len(), 1_000);
    feed.kept.counts();
    assert_eq!(feed.sync().changes, 1_500);
    assert_eq!(feed.kept.counts().1, 1_500, "nothing is handed in twice");
}

#[test]
fn a_feed_that_goes_back_after_a_sync_that_broke_off_is_as_it_was() {
    let text = events(0..1_500);
    let mut feed = Feed::of(text.clone());
    feed.sync();
    let before = feed.summaries();
    feed.says(text.replace("SUMMARY:", "SUMMARY:new "));
    feed.kept.fail_after(1);
    assert!(matches!(feed.try_sync(), Err(IcsError::Store(_))));
    assert_ne!(feed.summaries(), before);
    // The file is that of the checkpoint.
    feed.says(text);
    assert_eq!(feed.sync().changes, 1_000);
    assert_eq!(feed.summaries(), before);
}

/// Writes a configuration with a feed whose address is in a file.
fn configured(stage: &Stage, server: &Scripted) {
    let path = stage.path().display().to_string();
    write_secret(&stage.path().join("address"), &format!("{}ical/{TOKEN}/basic.ics\n", server.url));
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n[log]\nlevel = \"trace\"\n\
         [[source]]\nkind = \"ics\"\nname = \"holidays\"\nurl_file = \"address\"\nuser = \"mary@example.org\"\n\
         [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"{path}/alarms.jsonl\"\n"
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
}

fn write_secret(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_address_is_in_nothing_that_is_written() {
    let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| reply(&events(0..3)).header("ETag", "\"1\""))));
    let shared = script.clone();
    let server = Scripted::start(move |asked| shared.lock().unwrap()(asked));
    let stage = Stage::new();
    configured(&stage, &server);
    let mut written = String::new();
    let mut run = |stage: &Stage, arguments: &[&str]| {
        let output = stage.reveille(arguments);
        let said = [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
        written += &said;
        said
    };
    run(&stage, &["-vv", "run", "--once", "--at", "2026-03-10T12:00:00Z"]);
    let show_all = |run: &mut dyn FnMut(&Stage, &[&str]) -> String| {
        for arguments in
            [["check"].as_slice(), &["status"], &["calendars"], &["alarms"], &["explain", "u1"], &["show", "u1"]]
        {
            run(&stage, arguments);
            run(&stage, &[&["--json", "-vv"], arguments].concat());
        }
    };
    let checked = run(&stage, &["check"]);
    assert!(checked.contains("the calendar holidays, 3 objects; fetched every 15m"), "{checked}");
    show_all(&mut run);
    run(&stage, &["-vv", "run", "--once", "--at", "2026-03-10T13:00:00Z"]);
    assert_eq!(stage.fired(), ["20260310T125000Z s0", "20260310T125000Z s1", "20260310T125000Z s2"]);
    for status in [404, 500, 302, 0] {
        *script.lock().unwrap() = Box::new(move |_| Reply::status(status).header("Location", "https://[broken"));
        run(&stage, &["-vv", "run", "--once", "--at", "2026-03-10T13:01:00Z"]);
        show_all(&mut run);
    }
    let status = run(&stage, &["status"]);
    assert!(status.contains("…") && status.contains("ics"), "{status}");
    drop(server);
    run(&stage, &["-vv", "run", "--once", "--at", "2026-03-10T13:02:00Z"]);
    show_all(&mut run);
    // An address in the configuration itself that is none.
    let config = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    for url in
        [format!("ftp://h/{TOKEN}"), format!("https://{TOKEN}@h/"), format!("https://h:{TOKEN}/"), TOKEN.to_owned()]
    {
        let text = config.replace("url_file = \"address\"", &format!("url = \"{url}\""));
        fs::write(stage.path().join("reveille.toml"), text).unwrap();
        let told = run(&stage, &["check"]);
        assert!(told.contains("source 'holidays': url"), "{told}");
        fs::write(stage.path().join("reveille.toml"), &config).unwrap();
        write_secret(&stage.path().join("address"), &url);
        run(&stage, &["-vv", "check"]);
        run(&stage, &["-vv", "run", "--once", "--at", "2026-03-10T13:03:00Z"]);
    }
    assert!(!written.contains(TOKEN), "{}", written.lines().find(|line| line.contains(TOKEN)).unwrap_or_default());
    for file in ["ledger.db", "ledger.db-wal", "alarms.jsonl"] {
        let octets = fs::read(stage.path().join(file)).unwrap_or_default();
        let is_there = octets.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
        assert!(!is_there, "{file}");
    }
}

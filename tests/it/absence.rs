//! A calendar that a source does not find is absent for a while, and its alarms fire; those of an object that is gone
//! do not; what comes back soon is what it was. A text that cannot be used takes nothing away. The ingest stage is told
//! what a look found, and the clock is set by hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::config::Config;
use reveille::daemon::Core;
use reveille::firing::Tick;
use reveille::ledger::{ArmedFilter, Inspector, Ledger, TimerCursor};
use reveille::source::{Absence, CalendarInfo, Change, ChangeBatch, Checkpoint, Evidence, SyncStore as _};
use reveille::time::UtcMillis;

use crate::rehearsal::event;

const SOURCE: &str = "dav";

/// 12:30 is `at("12:30")`; a day later, `at("1 12:30")`.
pub fn at(time: &str) -> UtcMillis {
    let (day, time) = time.split_once(' ').unwrap_or(("0", time));
    let midnight = UtcMillis::parse("2026-03-10T00:00:00Z").unwrap();
    let (hours, minutes) = time.split_once(':').unwrap();
    let number = |text: &str| text.parse::<i64>().unwrap();
    midnight.saturating_add(SignedDuration::from_mins((number(day) * 24 + number(hours)) * 60 + number(minutes)))
}

/// A daemon's stages before a ledger in a folder of its own.
pub struct Stage {
    folder: tempfile::TempDir,
    pub clock: Clock,
    pub core: Core,
}

impl Stage {
    pub async fn new(now: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(at(now));
        let core = start(&folder.path().join("ledger.db"), &clock).await;
        Stage { folder, clock, core }
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// The process ends, and another one starts.
    pub async fn restart(self) -> Stage {
        let path = self.ledger();
        let Stage { folder, clock, core } = self;
        core.ingest.flush().await;
        core.ledger.close().await;
        drop(core);
        let core = start(&path, &clock).await;
        Stage { folder, clock, core }
    }

    /// A whole sync of the calendar `href` finds `changes`, at `now`. Says what cannot be used of it.
    pub async fn sync(&self, now: &str, href: &str, changes: Vec<Change>) -> Vec<String> {
        self.sync_of(now, (href, "mary"), changes).await
    }

    /// The same, at a calendar of `user`.
    pub async fn sync_of(&self, now: &str, (href, user): (&str, &str), changes: Vec<Change>) -> Vec<String> {
        self.clock.set(at(now));
        let batch = ChangeBatch {
            calendar: CalendarInfo { href: href.to_owned(), user: user.to_owned(), ..CalendarInfo::default() },
            synced_at: at(now),
            changes,
            checkpoint: Some(Checkpoint { sync_state: now.to_owned() }),
            may_lag: true,
            made: None,
            begun: None,
        };
        self.core.ingest.apply(SOURCE, batch).await.unwrap().unreadable
    }

    /// The entity tag, the revision and the faults of the object `a.ics`.
    async fn object(&self) -> (String, i64, Vec<String>) {
        let mut inspector = Inspector::open(&self.ledger()).await.unwrap();
        let objects = inspector.armed(TimerCursor::START, ArmedFilter::ALL, 10).await.unwrap();
        let object = objects.iter().find(|object| object.href == "a.ics").expect("it is armed");
        let faults = object.faults.as_deref().map(|faults| serde_json::from_str(faults).unwrap());
        (object.etag.clone(), object.revision, faults.unwrap_or_default())
    }

    /// A look at `now` does not find `/a/`.
    async fn misses(&self, now: &str, evidence: Evidence) -> Absence {
        self.clock.set(at(now));
        self.core.ingest.calendar_absent(SOURCE, "/a/", at(now), evidence).await.unwrap()
    }

    /// Fires what is due at `now`, and says all that is in the ledger: when it was due, and when it fired.
    pub async fn fired(&mut self, now: &str) -> Vec<String> {
        self.clock.set(at(now));
        self.core.startup_gate.open();
        while self.core.wheel.tick().await.unwrap() == Tick::Again {}
        let mut inspector = Inspector::open(&self.ledger()).await.unwrap();
        let mut firings = inspector.firings(UtcMillis::MIN, None, 100).await.unwrap();
        firings.sort_by_key(|firing| firing.due);
        let time = |at: UtcMillis| at.to_string()[11..16].to_owned();
        firings.iter().map(|firing| format!("{} at {}", time(firing.due), time(firing.fired_at))).collect()
    }

    async fn known(&self) -> Vec<(String, Option<UtcMillis>)> {
        let known = self.core.ingest.calendars(SOURCE).await.unwrap();
        known.into_iter().map(|known| (known.href, known.absent_since)).collect()
    }
}

pub async fn start(path: &Path, clock: &Clock) -> Core {
    let text = format!(
        "[ledger]\nurl = \"sqlite://{}\"\n[[source]]\nkind = \"directory\"\nname = \"{SOURCE}\"\npath = \"/nowhere\"\n\
         [[sink]]\nkind = \"stdout\"\n\
         [[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtps://mail.example.org\"\nfrom = \"reveille@example.org\"\n\
         recipients = \"attendees\"\n",
        path.display()
    );
    let file = path.with_extension("toml");
    std::fs::write(&file, &text).unwrap();
    let config: Config = reveille::config::read_text(&text).unwrap();
    assert_eq!(config.defaults.absent_grace, Duration::from_secs(15 * 60));
    Core::start(&config, &Zones::bundled(), Ledger::open(path).await.unwrap(), clock).await.unwrap()
}

/// The event `name` with an alarm at `time` of that day, put.
pub fn put(name: &str, time: &str) -> Change {
    let start = at(time).basic();
    let text = event(name, &start, name).into_bytes();
    Change::Put { href: format!("{name}.ics"), etag: format!("\"{name} {time}\""), text, last_modified: None }
}

#[tokio::test]
async fn the_alarms_of_an_absent_calendar_fire_and_it_is_the_same_when_it_comes_back() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "11:05"), put("two", "12:00")]).await;
    stage.core.ingest.unchanged(SOURCE, "/a/", at("11:00")).await.unwrap();
    let since = at("11:01");
    assert_eq!(stage.misses("11:01", Evidence::Healthy).await, Absence::Kept { since });
    assert_eq!(stage.known().await, [("/a/".to_owned(), Some(since))]);
    assert_eq!(stage.fired("11:05").await, ["11:05 at 11:05"], "it still fires");
    assert_eq!(stage.misses("11:15", Evidence::Healthy).await, Absence::Kept { since });
    // It is back, with an event that has become due meanwhile: that is late, not past.
    stage.sync("11:15", "/a/", vec![put("three", "11:10")]).await;
    assert_eq!(stage.known().await, [("/a/".to_owned(), None)]);
    let all = ["11:05 at 11:05", "11:10 at 11:15", "12:00 at 12:00"];
    assert_eq!(stage.fired("11:15").await, all[..2]);
    assert_eq!(stage.fired("12:00").await, all);
    // The next absence counts from its own beginning.
    assert_eq!(stage.misses("12:01", Evidence::Healthy).await, Absence::Kept { since: at("12:01") });
}

#[tokio::test]
async fn a_sync_that_finds_a_calendar_unchanged_ends_its_absence_in_another_process_too() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "12:00")]).await;
    stage.misses("10:10", Evidence::Healthy).await;
    stage = stage.restart().await;
    assert_eq!(stage.known().await, [("/a/".to_owned(), Some(at("10:10")))]);
    stage.clock.set(at("10:20"));
    stage.core.ingest.unchanged(SOURCE, "/a/", at("10:20")).await.unwrap();
    // At once, and not when the times of syncs are written down.
    assert_eq!(stage.known().await, [("/a/".to_owned(), None)]);
    assert_eq!(stage.misses("10:26", Evidence::Healthy).await, Absence::Kept { since: at("10:26") });
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
}

#[tokio::test]
async fn a_calendar_is_dropped_when_healthy_syncs_have_not_found_it_for_the_grace() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "12:00")]).await;
    let kept = Absence::Kept { since: at("10:01") };
    assert_eq!(stage.misses("10:01", Evidence::Healthy).await, kept);
    stage = stage.restart().await;
    assert_eq!(stage.misses("10:15", Evidence::Healthy).await, kept);
    assert_eq!(stage.misses("10:16", Evidence::Healthy).await, Absence::Dropped);
    assert_eq!(stage.known().await, []);
    assert_eq!(stage.fired("12:00").await, [""; 0]);
    assert_eq!(stage.misses("12:01", Evidence::Healthy).await, Absence::Dropped, "one that is not known");
}

#[tokio::test]
async fn where_nothing_is_found_calendars_are_kept_for_a_day() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "1 9:59"), put("two", "1 12:00")]).await;
    let kept = Absence::Kept { since: at("10:01") };
    assert_eq!(stage.misses("10:01", Evidence::AllGone).await, kept);
    // The store is found in order again, without it: only from here on that counts.
    assert_eq!(stage.misses("10:30", Evidence::Healthy).await, kept);
    assert_eq!(stage.misses("10:44", Evidence::AllGone).await, kept);
    assert_eq!(stage.misses("10:46", Evidence::Healthy).await, kept);
    assert_eq!(stage.misses("10:50", Evidence::AllGone).await, kept);
    stage = stage.restart().await;
    assert_eq!(stage.misses("1 10:00", Evidence::AllGone).await, kept);
    assert_eq!(stage.fired("1 10:00").await, ["09:59 at 10:00"]);
    assert_eq!(stage.misses("1 10:01", Evidence::AllGone).await, Absence::Dropped);
    assert_eq!(stage.fired("1 12:00").await, ["09:59 at 10:00"]);
}

#[tokio::test]
async fn a_clock_that_was_ahead_does_not_end_the_grace() {
    let stage = Stage::new("1 10:00").await;
    stage.sync("1 10:00", "/a/", vec![put("one", "2 12:00")]).await;
    stage.misses("1 10:01", Evidence::Healthy).await;
    assert_eq!(stage.misses("9:00", Evidence::Healthy).await, Absence::Kept { since: at("9:00") });
    assert_eq!(stage.misses("9:14", Evidence::Healthy).await, Absence::Kept { since: at("9:00") });
    assert_eq!(stage.misses("9:15", Evidence::Healthy).await, Absence::Dropped);
}

#[tokio::test]
async fn status_and_calendars_say_what_is_absent() {
    let stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "12:00")]).await;
    stage.sync("10:00", "/b/", vec![put("two", "12:00")]).await;
    stage.misses("10:01", Evidence::Healthy).await;
    let say = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reveille"));
        let output =
            command.arg("--config").arg(stage.ledger().with_extension("toml")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |arguments: &[&str]| -> Vec<serde_json::Value> {
        say(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (status, calendars) = (json(&["status", "--json"]), json(&["calendars", "--json"]));
    let absent = serde_json::json!([{
        "source": "dav", "href": "/a/", "calendarName": "", "userId": "mary", "absentSince": "2026-03-10T10:01:00.000Z",
        "dropAt": "2026-03-10T10:16:00.000Z"
    }]);
    assert_eq!(status[0]["absentCalendars"], absent);
    let since: Vec<_> = calendars.iter().map(|calendar| calendar["absentSince"].as_str()).collect();
    assert_eq!(since, [Some("2026-03-10T10:01:00.000Z"), None]);
    assert!(say(&["status"]).contains("dav:/a/  not found since"), "{}", say(&["status"]));
    assert!(say(&["calendars"]).contains("absent since"), "{}", say(&["calendars"]));
}

/// `change`, written at `written`.
fn written_at(change: Change, time: &str) -> Change {
    match change {
        Change::Put { href, etag, text, .. } => Change::Put { href, etag, text, last_modified: Some(at(time)) },
        other => other,
    }
}

pub fn gone(name: &str) -> Change {
    Change::Gone { href: format!("{name}.ics") }
}

#[tokio::test]
async fn an_object_that_is_gone_and_comes_back_soon_is_the_same() {
    let mut stage = Stage::new("10:00").await;
    let all = || vec![put("a", "11:10"), put("b", "11:10"), put("c", "11:10"), put("d", "11:10")];
    stage.sync("10:00", "/a/", all()).await;
    stage.sync("11:05", "/a/", ["a", "b", "c", "d"].map(gone).to_vec()).await;
    assert_eq!(stage.fired("11:11").await, [""; 0], "gone is gone");
    stage.core.ingest.unchanged(SOURCE, "/a/", at("11:15")).await.unwrap();
    stage = stage.restart().await;
    // Back: one as it was, one with another alarm, one as it was and written anew, and one with an alarm that was past
    // by then.
    let back = vec![
        put("a", "11:10"),
        put("b", "11:12"),
        written_at(put("c", "11:10"), "11:11"),
        written_at(put("e", "11:10"), "11:11"),
    ];
    stage.sync("11:20", "/a/", back).await;
    let fired = ["11:10 at 11:20", "11:10 at 11:20", "11:12 at 11:20"];
    assert_eq!(stage.fired("11:20").await, fired);
    // One that comes back later is new.
    stage.sync("11:21", "/a/", vec![put("d", "11:10")]).await;
    assert_eq!(stage.fired("11:21").await, fired);
    // What has fired does not fire again for it.
    stage.sync("11:22", "/a/", vec![gone("a")]).await;
    stage.sync("11:23", "/a/", vec![put("a", "11:10")]).await;
    assert_eq!(stage.fired("11:23").await, fired);
}

#[tokio::test]
async fn a_sync_that_got_the_old_text_of_a_new_version_has_not_seen_what_was_written() {
    let mut stage = Stage::new("10:00").await;
    let versioned = |change: Change, version: &str| match change {
        Change::Put { href, text, last_modified, .. } => {
            Change::Put { href, etag: version.to_owned(), text, last_modified }
        }
        other => other,
    };
    let version = |version: &str| vec![versioned(put("a", "13:00"), version), versioned(put("b", "13:00"), version)];
    stage.sync("10:00", "/a/", version("\"1\"")).await;
    // A replica lags behind for two syncs; then the process ends.
    stage.sync("11:00", "/a/", version("\"2\"")).await;
    stage.sync("11:05", "/a/", version("\"2\"")).await;
    stage = stage.restart().await;
    let edits = vec![
        versioned(written_at(put("a", "10:30"), "10:20"), "\"2\""),
        versioned(written_at(put("b", "10:30"), "10:40"), "\"2\""),
    ];
    stage.sync("11:06", "/a/", edits).await;
    assert_eq!(stage.fired("11:06").await, ["10:30 at 11:06"]);
}

#[tokio::test]
async fn what_an_object_had_not_fired_when_it_was_gone_fires_when_it_comes_back() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "11:00"), put("b", "11:00")]).await;
    // The wheel could not write at 11:00; the looks could.
    stage.sync("11:01", "/a/", vec![gone("a"), gone("b")]).await;
    stage.sync("11:02", "/a/", vec![put("a", "11:00")]).await;
    assert_eq!(stage.fired("11:02").await, ["11:00 at 11:02"]);
}

#[tokio::test]
async fn a_text_that_cannot_be_used_takes_the_old_one_its_version() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "12:00")]).await;
    let Change::Put { text, .. } = put("a", "13:00") else { panic!("it is put") };
    let version = |etag: &str, text: &[u8]| {
        vec![Change::Put { href: "a.ics".to_owned(), etag: etag.to_owned(), text: text.to_vec(), last_modified: None }]
    };
    for broken in [b"<html>Bad Gateway</html>".as_slice(), &text[..text.len() / 2]] {
        let (_, before, _) = stage.object().await;
        assert_eq!(stage.sync("10:01", "/a/", version("\"new\"", broken)).await, ["a.ics"]);
        let (kept, revision, faults) = stage.object().await;
        // What is not taken over may have the version of the text before, as SOGo gives it to what is put anew.
        assert_eq!((kept.as_str(), revision), ("", before + 1), "it is asked for again, whatever its version");
        assert!(faults.last().unwrap().contains("it is kept"), "{faults:?}");
        // Looked at again it is no news, and nothing is written.
        assert_eq!(stage.sync("10:02", "/a/", version("\"new\"", broken)).await, ["a.ics"]);
        assert_eq!(stage.object().await, (kept, revision, faults));
    }
    assert_eq!(stage.sync("10:03", "/a/", version("\"new\"", &text)).await, [""; 0]);
    let (etag, _, faults) = stage.object().await;
    assert_eq!((etag.as_str(), faults), ("\"new\"", Vec::new()));
    assert_eq!(stage.fired("13:00").await, ["13:00 at 13:00"]);
}

#[tokio::test]
async fn a_new_object_of_which_half_came_has_no_version() {
    let mut stage = Stage::new("10:00").await;
    let Change::Put { href, etag, text, last_modified } = put("a", "12:00") else { panic!("it is put") };
    let half = text[..text.len() / 2].to_vec();
    let half = vec![Change::Put { href: href.clone(), etag: etag.clone(), text: half, last_modified }];
    assert_eq!(stage.sync("10:00", "/a/", half.clone()).await, ["a.ics"]);
    let etags = stage.core.ingest.etags(SOURCE, "/a/").await.unwrap();
    assert_eq!(etags[&href], "", "it is asked for again, whatever the source says of it");
    assert_eq!(stage.sync("10:01", "/a/", half).await, ["a.ics"]);
    assert_eq!(stage.sync("10:02", "/a/", vec![Change::Put { href, etag, text, last_modified }]).await, [""; 0]);
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
}

#[tokio::test]
async fn what_a_sync_did_not_see_although_it_was_written_fires() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "12:00")]).await;
    // The looks from 11:00 on were answered by a server that lagged behind.
    stage.clock.set(at("11:10"));
    stage.core.ingest.unchanged(SOURCE, "/a/", at("11:10")).await.unwrap();
    let late = vec![
        written_at(put("a", "11:06"), "11:01"),
        written_at(put("b", "11:06"), "11:01"),
        written_at(put("c", "11:06"), "11:07"),
        written_at(put("d", "10:40"), "10:30"),
    ];
    stage.sync("11:11", "/a/", late).await;
    assert_eq!(stage.fired("11:11").await, ["11:06 at 11:11", "11:06 at 11:11"]);
    // The past of a calendar that is seen for the first time does not fire.
    stage.sync("11:20", "/b/", Vec::new()).await;
    stage.sync("11:21", "/b/", vec![written_at(put("e", "11:19"), "11:18")]).await;
    assert_eq!(stage.fired("11:21").await.len(), 2);
}

#[tokio::test]
async fn what_is_put_into_another_calendar_owes_what_it_owed_where_it_went() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "11:00"), put("b", "11:00"), put("c", "11:00")]).await;
    stage.sync("10:00", "/b/", Vec::new()).await;
    stage.sync_of("10:00", ("/c/", "bob"), Vec::new()).await;
    stage.sync("10:59", "/a/", vec![gone("a"), gone("b"), gone("c")]).await;
    stage.clock.set(at("11:01"));
    stage.core.ingest.unchanged(SOURCE, "/b/", at("11:01")).await.unwrap();
    stage.core.ingest.unchanged(SOURCE, "/c/", at("11:01")).await.unwrap();
    stage = stage.restart().await;
    assert_eq!(stage.fired("11:01").await, [""; 0]);
    // Put by the move, after it was due. Somebody else's is another one, and so is what fires at another time.
    stage.sync("11:02", "/b/", vec![written_at(put("a", "11:00"), "11:02")]).await;
    stage.sync_of("11:02", ("/c/", "bob"), vec![put("b", "11:00")]).await;
    assert_eq!(stage.fired("11:02").await, ["11:00 at 11:02"]);
    stage.sync("11:03", "/b/", vec![written_at(put("c", "10:30"), "11:03")]).await;
    assert_eq!(stage.fired("11:03").await, ["11:00 at 11:02"]);
    // And so is what comes long after.
    stage.sync("11:20", "/d/", Vec::new()).await;
    stage.sync("11:21", "/d/", vec![put("b", "11:00")]).await;
    assert_eq!(stage.fired("11:21").await, ["11:00 at 11:02"]);
}

/// `put`, with another alarm an hour before.
fn with_earlier_alarm(put: Change) -> Change {
    let Change::Put { href, etag, text, last_modified } = put else { panic!("it is put") };
    let more = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:a\r\nTRIGGER:-PT1H\r\nEND:VALARM\r\nEND:VEVENT";
    let text = String::from_utf8(text).unwrap().replacen("END:VEVENT", more, 1).into_bytes();
    Change::Put { href, etag, text, last_modified }
}

#[tokio::test]
async fn what_moves_owes_nothing_from_before_it_was_last_seen_where_it_was() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/b/", Vec::new()).await;
    stage.sync("10:00", "/a/", vec![put("a", "12:00")]).await;
    stage.clock.set(at("11:30"));
    stage.core.ingest.unchanged(SOURCE, "/a/", at("11:30")).await.unwrap();
    // It gets another alarm at 11:00 and moves, after both; when that was written is not known.
    stage.sync("11:40", "/a/", vec![gone("a")]).await;
    stage.sync("11:41", "/b/", vec![with_earlier_alarm(put("a", "12:00"))]).await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
}

#[tokio::test]
async fn an_alarm_that_what_moves_gets_after_its_instant_does_not_fire() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/b/", Vec::new()).await;
    stage.sync("10:00", "/a/", vec![put("a", "12:00")]).await;
    stage.sync("11:40", "/a/", vec![gone("a")]).await;
    stage.sync("11:41", "/b/", vec![written_at(with_earlier_alarm(put("a", "12:00")), "11:35")]).await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
}

#[tokio::test]
async fn what_moves_while_the_clock_is_ahead_fires_once_it_is_set_back() {
    let mut stage = Stage::new("13:00").await;
    stage.sync("13:00", "/b/", Vec::new()).await;
    let Change::Put { href, etag, text, last_modified } = put("a", "12:00") else { panic!("it is put") };
    let text = String::from_utf8(text).unwrap().replacen("BEGIN:VALARM", "RRULE:FREQ=DAILY\r\nBEGIN:VALARM", 1);
    let daily = Change::Put { href, etag, text: text.into_bytes(), last_modified };
    stage.sync("13:00", "/a/", vec![daily.clone()]).await;
    stage.sync("13:01", "/a/", vec![gone("a")]).await;
    stage.clock.set(at("10:00"));
    stage.core.ingest.clock_was_set().await.unwrap();
    stage.sync("10:01", "/b/", vec![daily]).await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
}

#[tokio::test]
async fn what_a_clock_ahead_missed_fires_once_it_is_set_back_also_if_it_has_moved() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "12:00")]).await;
    stage.sync("10:00", "/b/", Vec::new()).await;
    assert_eq!(stage.fired("2 13:00").await, ["12:00 at 13:00"], "it is missed");
    stage.sync("2 13:01", "/a/", vec![gone("a")]).await;
    stage.sync("2 13:01", "/b/", vec![written_at(put("a", "12:00"), "10:30")]).await;
    stage.clock.set(at("12:05"));
    stage.core.ingest.clock_was_set().await.unwrap();
    assert_eq!(stage.fired("12:05").await, ["12:00 at 12:05"]);
}

#[tokio::test]
async fn what_cannot_be_read_while_its_calendar_gets_another_zone_fires_by_that() {
    let mut stage = Stage::new("10:00").await;
    let Change::Put { href, etag, text, last_modified } = put("a", "16:00") else { panic!("it is put") };
    let floating = String::from_utf8(text).unwrap().replace("0T160000Z", "0T160000").into_bytes();
    stage.sync("10:00", "/a/", vec![Change::Put { href: href.clone(), etag, text: floating, last_modified }]).await;
    stage.clock.set(at("10:30"));
    let calendar = CalendarInfo {
        href: "/a/".to_owned(),
        user: "mary".to_owned(),
        zone: Some("Asia/Kolkata".to_owned()),
        ..CalendarInfo::default()
    };
    let changes = vec![Change::Unreadable { href, fault: "it is refused".to_owned() }];
    let batch = ChangeBatch {
        calendar,
        synced_at: at("10:30"),
        changes,
        checkpoint: None,
        may_lag: true,
        made: None,
        begun: None,
    };
    stage.core.ingest.apply(SOURCE, batch).await.unwrap();
    assert_eq!(stage.fired("10:30").await, ["10:30 at 10:30"]);
}

#[tokio::test]
async fn what_its_server_does_not_give_away_is_owed_over_a_restart() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "12:00")]).await;
    let refused = |name: &str| Change::Unreadable { href: format!("{name}.ics"), fault: "it is refused".to_owned() };
    stage.sync("10:10", "/a/", vec![refused("a"), refused("b")]).await;
    stage.clock.set(at("11:50"));
    stage.core.ingest.unchanged(SOURCE, "/a/", at("11:50")).await.unwrap();
    stage = stage.restart().await;
    let etags = stage.core.ingest.etags(SOURCE, "/a/").await.unwrap();
    assert_eq!((etags["a.ics"].as_str(), etags["b.ics"].as_str()), ("", ""), "no version of them is known");
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"], "what is known still fires");
    stage.sync("12:01", "/a/", vec![written_at(put("b", "11:00"), "10:05")]).await;
    assert_eq!(stage.fired("12:01").await, ["11:00 at 12:01", "12:00 at 12:00"]);
}

#[tokio::test]
async fn what_is_kept_fires_nothing_from_before_it_was_written() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", Vec::new()).await;
    // The sync that brings it, written after its alarm, is not whole, so the next one counts from the one before.
    let batch = ChangeBatch {
        calendar: CalendarInfo { href: "/a/".to_owned(), user: "mary".to_owned(), ..CalendarInfo::default() },
        synced_at: at("11:05"),
        changes: vec![written_at(put("a", "11:00"), "11:01")],
        checkpoint: None,
        may_lag: true,
        made: None,
        begun: None,
    };
    stage.clock.set(at("11:05"));
    stage.core.ingest.apply(SOURCE, batch).await.unwrap();
    let refused = Change::Unreadable { href: "a.ics".to_owned(), fault: "it is listed and does not exist".to_owned() };
    stage.sync("11:10", "/a/", vec![refused]).await;
    assert_eq!(stage.fired("11:10").await, [""; 0]);
}

/// `change`, under the name `name`.
fn named(change: Change, name: &str) -> Change {
    match change {
        Change::Put { etag, text, last_modified, .. } => {
            Change::Put { href: format!("{name}.ics"), etag, text, last_modified }
        }
        other => other,
    }
}

#[tokio::test]
async fn what_loses_its_place_to_another_and_comes_back_elsewhere_is_the_same() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("a", "11:00"), put("b", "12:00"), put("c", "11:01"), put("d", "12:00")]).await;
    // The place of one is taken by another, and that of the second is free for a moment.
    stage.sync("10:59", "/a/", vec![named(put("b", "12:00"), "a"), gone("c")]).await;
    stage.clock.set(at("11:02"));
    stage.core.ingest.unchanged(SOURCE, "/a/", at("11:02")).await.unwrap();
    assert_eq!(stage.fired("11:02").await, [""; 0]);
    stage.sync("11:02", "/a/", vec![written_at(named(put("e", "10:00"), "c"), "11:02")]).await;
    let back = [named(put("a", "11:00"), "b"), named(put("c", "11:01"), "d")].map(|change| written_at(change, "11:03"));
    stage.sync("11:03", "/a/", back.to_vec()).await;
    assert_eq!(stage.fired("11:03").await, ["11:00 at 11:03", "11:01 at 11:03"]);
    // Where it was, it is only edited.
    stage.sync("11:04", "/a/", vec![written_at(named(put("a", "11:01"), "b"), "11:04")]).await;
    assert_eq!(stage.fired("12:00").await.len(), 3, "and b, which is where a was");
}

#[tokio::test]
async fn an_overdue_alarm_that_an_edit_records_is_counted_once_and_as_late() {
    let stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "10:30")]).await;
    let edited = |title: &str| {
        let text = event("one", &at("10:30").basic(), title).into_bytes();
        vec![Change::Put { href: "one.ics".to_owned(), etag: format!("\"{title}\""), text, last_modified: None }]
    };
    // The wheel was not running meanwhile.
    stage.sync("10:39", "/a/", edited("another title")).await;
    stage.sync("10:40", "/a/", edited("a third title")).await;
    let counted = stage.core.metrics.encode().unwrap();
    for line in [
        "reveille_alarms_total{outcome=\"fired\"} 1",
        "reveille_alarm_lateness_seconds_bucket{le=\"60.0\"} 0",
        "reveille_alarm_lateness_seconds_bucket{le=\"600.0\"} 1",
        "reveille_alarm_lateness_seconds_count 1",
        "reveille_changes_total{source=\"dav\"} 3",
    ] {
        assert!(counted.lines().any(|one| one == line), "{line} is not in\n{counted}");
    }
    stage.core.ledger.close().await;
}

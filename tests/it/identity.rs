//! A user is told once of each UID, action and instant, whatever becomes of the event, and in ledgers of earlier
//! versions too.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use reveille::calendar::zone::Zones;
use reveille::clock::Clock;
use reveille::daemon::Core;
use reveille::ledger::{DeliveryFilter, Inspector, Ledger};
use reveille::source::Change;
use reveille::time::UtcMillis;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::absence::{Stage, at, gone, put};
use crate::rehearsal::{self, event};
use crate::simulation::disk::Script;

/// An object with this text.
fn file(href: &str, text: &str) -> Change {
    Change::Put { href: href.to_owned(), etag: format!("\"{}\"", text.len()), text: text.into(), last_modified: None }
}

/// The event of [`event`] with an EMAIL alarm to these attendees in the place of its own.
fn mailed(start: &str, attendees: &[&str]) -> String {
    let attendees: String = attendees.iter().map(|attendee| format!("ATTENDEE:{attendee}\r\n")).collect();
    event("a", &at(start).basic(), "a").replace("ACTION:DISPLAY\r\n", &format!("ACTION:EMAIL\r\n{attendees}"))
}

/// Whom the mails that are owed go to.
async fn recipients(stage: &Stage) -> Vec<String> {
    let mut inspector = Inspector::open(&stage.ledger()).await.unwrap();
    let owed = inspector.deliveries(DeliveryFilter::All, 100).await.unwrap();
    let mut mails: Vec<String> =
        owed.into_iter().filter(|owed| owed.sink == "mail").map(|owed| owed.recipient).collect();
    mails.sort();
    mails
}

#[tokio::test]
async fn an_event_that_moves_to_another_calendar_after_it_fired_does_not_fire_again() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "12:00"), put("two", "12:00")]).await;
    stage.sync("10:00", "/b/", Vec::new()).await;
    stage.sync("11:59", "/a/", Vec::new()).await;
    stage.sync("11:59", "/b/", Vec::new()).await;
    // One moves before it has fired.
    stage.sync("11:59", "/a/", vec![gone("two")]).await;
    let fired = ["12:00 at 12:00"; 2];
    assert_eq!(stage.fired("12:00").await, fired[..1]);
    stage.sync("12:01", "/b/", vec![put("one", "12:00"), put("two", "12:00")]).await;
    stage.sync("12:01", "/a/", vec![gone("one")]).await;
    stage = stage.restart().await;
    let mut both = stage.fired("12:01").await;
    both.sort();
    assert_eq!(both, ["12:00 at 12:00", "12:00 at 12:01"]);
    // And back.
    stage.sync("12:02", "/b/", vec![gone("one")]).await;
    stage.sync("12:02", "/a/", vec![put("one", "12:00")]).await;
    assert_eq!(stage.fired("12:02").await.len(), 2);
}

#[tokio::test]
async fn an_event_that_becomes_a_series_or_a_single_one_after_it_fired_does_not_fire_again() {
    let mut stage = Stage::new("10:00").await;
    let single = event("a", &at("12:00").basic(), "a");
    let series = single.replace("DURATION", "RRULE:FREQ=DAILY\r\nDURATION");
    let moved = series.replace("RRULE:FREQ=DAILY", "RECURRENCE-ID:20260310T120000Z");
    stage.sync("10:00", "/a/", vec![file("a.ics", &single)]).await;
    stage.core.ingest.flush().await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
    for text in [&series, &moved, &single] {
        // By the sync before, that was at ten, the alarm is not past.
        stage.sync("12:01", "/a/", vec![file("a.ics", text)]).await;
        assert_eq!(stage.fired("12:01").await, ["12:00 at 12:00"]);
        let looked = "UPDATE calendars SET last_synced_at = first_seen";
        alter(&stage.ledger(), looked).await;
    }
}

#[tokio::test]
async fn copies_in_two_calendars_of_a_user_fire_once_and_those_of_two_users_each() {
    let mut stage = Stage::new("10:00").await;
    let (one, other) = (
        mailed("12:00", &["mailto:ann@example.org"]),
        mailed("12:00", &["MAILTO:Ann@Example.ORG", "mailto:bob@example.org"]),
    );
    stage.sync("10:00", "/a/", vec![file("a.ics", &one)]).await;
    stage.sync("10:00", "/b/", vec![file("a.ics", &other)]).await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
    assert_eq!(recipients(&stage).await, ["ann@example.org", "bob@example.org"]);
    stage.sync_of("12:30", ("/c/", "john"), vec![file("a.ics", &mailed("13:00", &[]))]).await;
    stage.sync_of("12:30", ("/d/", "jane"), vec![file("a.ics", &mailed("13:00", &[]))]).await;
    assert_eq!(stage.fired("13:00").await.len(), 3);
}

#[tokio::test]
async fn occurrences_that_fire_at_the_same_instant_fire_as_one_to_the_recipients_of_both() {
    let mut stage = Stage::new("10:00").await;
    let daily =
        mailed("12:00", &["mailto:ann@example.org"]).replace("DURATION:PT1H", "RRULE:FREQ=DAILY\r\nDURATION:PT1H");
    let alarm = "BEGIN:VALARM\r\nACTION:EMAIL\r\nATTENDEE:mailto:bob@example.org\r\nTRIGGER:-P1D\r\nSUMMARY:Tomorrow\r\nDESCRIPTION:x\r\nEND:VALARM\r\nEND:VEVENT";
    stage.sync("10:00", "/a/", vec![file("a.ics", &daily.replace("END:VEVENT", alarm))]).await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"]);
    assert_eq!(recipients(&stage).await, ["ann@example.org", "bob@example.org"]);
    let mut inspector = Inspector::open(&stage.ledger()).await.unwrap();
    let firings = inspector.firings(UtcMillis::MIN, None, 10).await.unwrap();
    let said: serde_json::Value = serde_json::from_str(&firings[0].notification).unwrap();
    assert_eq!(said["alarmRecipients"], serde_json::json!(["mailto:ann@example.org", "mailto:bob@example.org"]));
    assert_eq!(said["start"], "20260310T120000Z", "the earlier one is told");
}

#[tokio::test]
async fn an_address_in_several_spellings_gets_one_mail() {
    let mut stage = Stage::new("10:00").await;
    let spellings = [
        "mailto:Mary@Bücher.example",
        "MAILTO:mary@xn--bcher-kva.example",
        "mailto:m%61ry@bücher.example ",
        "Mary Smith <mary@bücher.example>",
        "mailto:bob@example.org",
    ];
    stage.sync("10:00", "/a/", vec![file("a.ics", &mailed("12:00", &spellings))]).await;
    stage.fired("12:00").await;
    assert_eq!(recipients(&stage).await, ["Mary@Bücher.example", "bob@example.org"]);
}

#[tokio::test]
async fn what_has_no_uid_fires_each_for_itself() {
    let mut stage = Stage::new("10:00").await;
    let unnamed = event("a", &at("12:00").basic(), "a").replace("UID:a@example.org\r\n", "");
    let component = &unnamed[unnamed.find("BEGIN:VEVENT").unwrap()..unnamed.find("END:VCALENDAR").unwrap()];
    let other = component.replace("SUMMARY:a", "SUMMARY:b").replace("VEVENT", "VTODO").replace("DURATION:PT1H\r\n", "");
    // In one file: the same twice, and another; in a second file the same; and in another calendar.
    let three = unnamed.replace("END:VCALENDAR", &format!("{component}{other}END:VCALENDAR"));
    stage.sync("10:00", "/a/", vec![file("a.ics", &three), file("b.ics", &unnamed)]).await;
    stage.sync("10:00", "/b/", vec![file("a.ics", &unnamed)]).await;
    assert_eq!(stage.fired("12:00").await, ["12:00 at 12:00"; 5]);
    // Written anew by a program that says when, and looked at as if for the first time since ten: it has fired.
    alter(&stage.ledger(), "UPDATE calendars SET last_synced_at = first_seen").await;
    let anew = unnamed.replace("DTSTAMP:20260101", "DTSTAMP:20260310");
    stage.sync("12:01", "/a/", vec![file("b.ics", &anew)]).await;
    assert_eq!(stage.fired("12:01").await.len(), 5);
    let mut inspector = Inspector::open(&stage.ledger()).await.unwrap();
    let firings = inspector.firings(UtcMillis::MIN, None, 100).await.unwrap();
    let said: Vec<serde_json::Value> =
        firings.iter().map(|firing| serde_json::from_str(&firing.notification).unwrap()).collect();
    assert!(said.iter().all(|said| said["uid"] == ""));
    let ids: HashSet<&str> = said.iter().map(|said| said["notificationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5);
}

/// Runs `sql` on a ledger.
async fn alter(ledger: &Path, sql: &'static str) {
    let mut connection = SqliteConnectOptions::new().filename(ledger).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Makes of a ledger what the version before has written: firings with identities of another kind, which their
/// notifications have as well.
const OLD: &str = "UPDATE firings SET identity = randomblob(16);
    UPDATE firings SET notification = json_set(notification, '$.notificationId', lower(hex(identity)))
        WHERE notification != '';
    INSERT OR REPLACE INTO meta (key, value) SELECT 'old_firings', max(id) FROM firings;";

#[test]
fn a_ledger_of_an_earlier_version_fires_nothing_again_and_delivers_what_it_owes_under_the_old_ids() {
    let stage = rehearsal::Stage::new();
    let unnamed = event("u", "20260310T123000Z", "unnamed").replace("UID:u@example.org\r\n", "");
    for name in ["a.ics", "b.ics", "u.ics"] {
        stage.put(name, "20260310T123000Z", name, "2026-03-01T00:00:00Z");
    }
    std::fs::write(stage.file("u.ics"), &unnamed).unwrap();
    let home = stage.path().join("watched/home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("c.ics"), event("c", "20270310T120000Z", "c")).unwrap();
    stage.pass("2026-03-10T12:00:00Z");
    // Nothing can be delivered for now.
    let blocked = stage.path().join("alarms.jsonl");
    std::fs::create_dir(&blocked).unwrap();
    assert_eq!(stage.reveille(&["run", "--once", "--at", "2026-03-10T12:30:00Z"]).status.code(), Some(1));
    std::fs::remove_dir(&blocked).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ledger = stage.path().join("ledger.db");
    runtime.block_on(alter(&ledger, OLD));
    // As if the syncs since noon had not been: all would fire again, for each is another object now.
    runtime.block_on(alter(&ledger, "UPDATE calendars SET last_synced_at = first_seen"));
    let ids = |rows: &[serde_json::Value]| -> HashSet<String> {
        rows.iter().map(|row| row["notificationId"].as_str().unwrap().to_owned()).collect()
    };
    let old = ids(&stage.listing(&["firings", "--since", "2026-03-01T00:00:00Z"]));
    assert_eq!(old.len(), 3);
    std::fs::rename(stage.file("b.ics"), home.join("b.ics")).unwrap();
    stage.put("a.ics", "20260310T123000Z", "edited", "2026-03-02T00:00:00Z");
    std::fs::write(stage.file("u.ics"), unnamed.replace("DTSTAMP:2026", "DTSTAMP:2025")).unwrap();
    rehearsal::touch(&stage.file("u.ics"), "2026-03-02T00:00:00Z");
    let log = stage.pass("2026-03-10T12:31:00Z");
    assert!(log.contains("the history is up to date") && log.contains("firings=3"), "{log}");
    let mut fired = stage.fired();
    fired.sort();
    assert_eq!(fired, ["a.ics", "b.ics", "unnamed"].map(|summary| format!("20260310T123000Z {summary}")));
    assert_eq!(ids(&stage.alarms()), old, "under the ids that they had");
    let log = stage.pass("2026-03-10T12:32:00Z");
    assert!(!log.contains("the history is"), "once: {log}");
}

#[tokio::test]
async fn taking_a_ledger_over_that_is_cut_off_anywhere_goes_on_where_it_was() {
    let mut stage = Stage::new("10:00").await;
    stage.sync("10:00", "/a/", vec![put("one", "12:00")]).await;
    stage.fired("12:00").await;
    let clock = Clock::manual(at("12:30"));
    let path = stage.ledger();
    stage.core.ledger.close().await;
    drop(stage.core);
    // Of many firings pairs had calendars of their own, and are one now.
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
        INSERT INTO firings (identity, calendar, object, due, fired_at, state, notification)
        SELECT randomblob(16), 1, 1, due, fired_at, state,
        json_set(notification, '$.uid', 'many-' || (i / 2), '$.calendarName', 'of ' || i) FROM firings, n;";
    alter(&path, many).await;
    alter(&path, OLD).await;
    alter(&path, "UPDATE firings SET notification = 'no JSON' WHERE id = 2000").await;
    let config = reveille::config::read_text(&std::fs::read_to_string(path.with_extension("toml")).unwrap()).unwrap();
    let mut cut_off = 0;
    for moments in 0..20 {
        let copy = path.with_extension(format!("{moments}"));
        std::fs::copy(&path, &copy).unwrap();
        let disk = Arc::new(Script::default());
        let dying = Ledger::open_on(&copy, disk.clone()).await.unwrap();
        disk.end_in(moments);
        let started = Core::start(&config, &Zones::bundled(), dying.clone(), &clock).await;
        cut_off += usize::from(started.is_err());
        drop(started);
        dying.close().await;
        drop(dying);
        let ledger = Ledger::open(&copy).await.unwrap();
        Core::start(&config, &Zones::bundled(), ledger.clone(), &clock).await.unwrap();
        assert!(ledger.old_firings(1).await.unwrap().is_none(), "after {moments} moments");
        ledger.close().await;
        let mut inspector = Inspector::open(&copy).await.unwrap();
        assert_eq!(inspector.firings(UtcMillis::MIN, None, 10_000).await.unwrap().len(), 2_501);
        for uid in (0..=1_250).map(|n| format!("many-{n}")).chain(["one@example.org".to_owned()]) {
            let identity = reveille::notification::identity_of("mary", &uid, "display", at("12:00"));
            assert!(inspector.firing_with(identity).await.unwrap().is_some(), "{uid}, after {moments} moments");
        }
        inspector.close().await.unwrap();
    }
    assert!((10..20).contains(&cut_off), "{cut_off} of 20 starts were cut off");
}

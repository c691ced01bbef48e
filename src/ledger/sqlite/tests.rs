use std::collections::HashSet;

use std::fs::File;
use std::time::Duration;

use jiff::SignedDuration;

use super::connection::options;
use super::file::lock_path;
use super::lock::lock;
use super::migrate::{MIGRATIONS, migrator};
use super::{inspect, outbox, wal};
use crate::calendar_info::CalendarInfo;
use crate::ledger::OutboxAdmin;
use crate::ledger::{
    CalendarRow, ClaimedDelivery, DeliveryState, DueObject, FireOutcome, FireStats, FiringState, Inspector, Ledger,
    LedgerError, NewFiring, NextState, ObjectVersion, Planned, PlannedObject, Route, Settlement, Timer, TimerCursor,
};
use crate::time::UtcMillis;

pub fn at(seconds: i64) -> UtcMillis {
    UtcMillis(1_800_000_000_000 + seconds * 1_000)
}

pub async fn fresh() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).await.unwrap();
    (folder, ledger)
}

fn calendar() -> CalendarRow {
    let emails = vec!["mary@example.org".to_owned()];
    CalendarRow {
        source: "home".to_owned(),
        info: CalendarInfo { href: "work".to_owned(), user: "mary".to_owned(), emails, ..CalendarInfo::default() },
        last_synced_at: at(0),
        ..CalendarRow::default()
    }
}

pub fn object(href: &str, due: Option<UtcMillis>) -> PlannedObject {
    PlannedObject {
        existing: None,
        href: href.to_owned(),
        etag: "1".to_owned(),
        last_modified: None,
        faults: None,
        unread_since: None,
        count_cache: None,
        zones: " UTC ".to_owned(),
        uids: vec![format!("{href}@example.org")],
        text: b"BEGIN:VCALENDAR".to_vec(),
        due,
        overdue: Vec::new(),
    }
}

pub fn planned(put: Vec<PlannedObject>) -> Planned {
    Planned {
        calendar: calendar(),
        advance: true,
        put,
        retag: Vec::new(),
        doubted: Vec::new(),
        gone: Vec::new(),
        replanned: Vec::new(),
        events: Vec::new(),
        from: calendar().last_synced_at,
        now: at(0),
        forget_before: at(0),
    }
}

pub fn new_firing(identity: u8, sink: i64) -> NewFiring {
    NewFiring {
        identity: [identity; 16],
        calendar: 1,
        object: 1,
        due: at(10),
        state: FiringState::Fired,
        count: 1,
        notification: format!("{{\"n\":{identity}}}"),
        routes: vec![Route { sink, recipient: String::new(), not_before: None }],
    }
}

pub async fn all_due(ledger: &Ledger) -> Vec<Timer> {
    ledger.due(TimerCursor::START, UtcMillis::MAX, 1_000).await.unwrap()
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_error_names_the_holder_of_the_ledger() {
    let (folder, ledger) = fresh().await;
    let path = folder.path().join("ledger.db");
    let refused = Ledger::open(&path).await.unwrap_err();
    assert!(matches!(&refused, LedgerError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{refused}");
    ledger.close().await;
    drop(ledger);
    Ledger::open(&path).await.unwrap();
}

#[tokio::test]
async fn who_asks_whether_a_daemon_runs_keeps_none_from_starting() {
    let (folder, ledger) = fresh().await;
    let path = folder.path().join("ledger.db");
    ledger.close().await;
    drop(ledger);
    let asking = File::open(lock_path(&path)).unwrap();
    rustix::fs::flock(&asking, rustix::fs::FlockOperation::NonBlockingLockShared).unwrap();
    // The first is polled before the second.
    let (opened, ()) = tokio::join!(Ledger::open(&path), async { drop(asking) });
    opened.unwrap().close().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_just_taken_the_lock_is_named_once_it_has_said_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut holding = File::create(lock_path(&path)).unwrap();
    rustix::fs::flock(&holding, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let says = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        std::io::Write::write_all(&mut holding, b"4711\n").unwrap();
    };
    let (refused, ()) = tokio::join!(Ledger::open(&path), says);
    assert!(matches!(refused.unwrap_err(), LedgerError::InUse { pid, .. } if pid == "4711"));
    // What it wrote there goes when somebody else takes it.
    drop(holding);
    let _lock = lock(&path).await.unwrap();
    assert_eq!(std::fs::read_to_string(lock_path(&path)).unwrap(), format!("{}\n", std::process::id()));
}

#[tokio::test]
async fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _ledger) = fresh().await;
    let mode = std::fs::metadata(folder.path().join("ledger.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_left_alone() {
    let (folder, ledger) = fresh().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', 1, x'00', 0)";
    ledger
        .sqlite
        .write(move |c| {
            Box::pin(async move {
                sqlx::query(newer).execute(c).await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    ledger.close().await;
    drop(ledger);
    let refused = Ledger::open(&folder.path().join("ledger.db")).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Newer { .. }), "{refused}");
}

#[tokio::test]
async fn a_ledger_of_an_older_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut old = sqlx::ConnectOptions::connect(&options(&path).create_if_missing(true)).await.unwrap();
    migrator(&MIGRATIONS[..1]).run_direct(None, &mut old, false).await.unwrap();
    let rows = "INSERT INTO sinks VALUES (1, 'out');
        INSERT INTO rings VALUES (1, x'01010101010101010101010101010101', 1, 1, 10, 10, 'fired', 1, '{}');
        INSERT INTO deliveries VALUES (1, 1, '', 'pending', 3, 10, 99, '451 busy', NULL),
            (1, 1, 'mary@example.org', 'delivered', 1, 10, NULL, NULL, 20);
        INSERT INTO calendars (id, source, href, key, user, owner, emails, name, color, first_seen, looked_at, ctag, sync_token)
            VALUES (1, 'dav', '/a/', 'a', 'mary', 'mary', '[]', 'a', '', 5, 7,
                '{\"ctag\":\"c1\",\"compared\":6,\"objects\":2,\"blurred\":true}', 't1'),
            (2, 'dav', '/b/', 'b', 'mary', 'mary', '[]', 'b', '', 5, 7, '{\"compared\":6}', NULL),
            (3, 'dir', 'c', 'c', 'mary', 'mary', '[]', 'c', '', 5, 7, '2049', '2050'),
            (4, 'dir', 'd', 'd', 'mary', 'mary', '[]', 'd', '', 5, 7, NULL, NULL);
        INSERT INTO sources VALUES ('dav', 'caldav', 7, NULL, NULL), ('dir', 'directory', NULL, 'no', 8);
        INSERT INTO objects (id, calendar, href, etag, revision, written, zones, text) VALUES (1, 1, 'x', 'e', 1, 6, '', x'');";
    sqlx::raw_sql(rows).execute(&mut old).await.unwrap();
    sqlx::Connection::close(old).await.unwrap();
    // Whoever only asks leaves that to the daemon, and says so.
    assert!(matches!(Inspector::open(&path).await, Err(LedgerError::Older { .. })));
    let ledger = Ledger::open(&path).await.unwrap();
    let sql =
        "SELECT concat_ws(' ', recipient, state, attempts, response, settled_at) FROM deliveries ORDER BY recipient";
    let deliveries: Vec<String> = sqlx::query_scalar(sql).fetch_all(ledger.sqlite.readers()).await.unwrap();
    assert_eq!(deliveries, [" pending 3 451 busy", "mary@example.org delivered 1 20"]);
    let calendars = ledger.calendars(None).await.unwrap();
    let states: Vec<Option<&str>> = calendars.iter().map(|calendar| calendar.sync_state.as_deref()).collect();
    let wanted = [
        Some(r#"{"ctag":"c1","compared":6,"objects":2,"token":"t1","weak":true}"#),
        Some(r#"{"compared":6,"token":null}"#),
        Some(r#"{"rootDevice":"2049","device":"2050"}"#),
        None,
    ];
    assert_eq!(states, wanted);
    assert!(calendars.iter().all(|calendar| calendar.last_synced_at == UtcMillis(7)));
    // Sources of any kind are allowed, and those that were there are kept.
    ledger.source_progress("feed", "ics", "half".to_owned()).await.unwrap();
    let told =
        "SELECT concat_ws(' ', name, kind, last_synced_at, error, error_at, progress) FROM sources ORDER BY name";
    let sources: Vec<String> = sqlx::query_scalar(told).fetch_all(ledger.sqlite.readers()).await.unwrap();
    assert_eq!(sources, ["dav caldav 7", "dir directory no 8", "feed ics half"]);
    let existing = ledger.existing(1, &["x"]).await.unwrap();
    assert_eq!(existing["x"].last_modified, Some(UtcMillis(6)));
    let claimed = ledger.claim(1, UtcMillis(10), UtcMillis(20), 10).await.unwrap().deliveries;
    assert_eq!(claimed.iter().map(|claimed| claimed.attempts).collect::<Vec<_>>(), [3]);
    let sql = "SELECT concat_ws(' ', id, hex(identity), due, state, count, notification) FROM firings";
    let firings: Vec<String> = sqlx::query_scalar(sql).fetch_all(ledger.sqlite.readers()).await.unwrap();
    assert_eq!(firings, ["1 01010101010101010101010101010101 10 fired 1 {}"]);
    assert_eq!(ledger.meta("old_firings").await.unwrap().as_deref(), Some("1"));
    // What a firing owes goes with it.
    let orphans = "DELETE FROM firings";
    ledger.sqlite.write(move |c| Box::pin(async move { Ok(sqlx::query(orphans).execute(c).await?) })).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM deliveries").fetch_one(ledger.sqlite.readers()).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_schema_allows_the_states_and_no_others() {
    let (_folder, ledger) = fresh().await;
    let lists = [
        ("firings", FiringState::ALL.map(|state| format!("'{state}'")).join(", ")),
        ("deliveries", DeliveryState::ALL.map(|state| format!("'{state}'")).join(", ")),
    ];
    for (table, states) in lists {
        let sql = "SELECT sql FROM sqlite_schema WHERE name = ?";
        let schema: String = sqlx::query_scalar(sql).bind(table).fetch_one(ledger.sqlite.readers()).await.unwrap();
        assert!(schema.contains(&format!("CHECK (state IN ({states}))")), "{schema}");
    }
    let dismissed = "INSERT INTO firings (identity, calendar, object, due, fired_at, state, notification)
        VALUES (zeroblob(16), 1, 1, 1, 1, 'acknowledged', '')";
    let refused =
        ledger.sqlite.write(move |c| Box::pin(async move { Ok(sqlx::query(dismissed).execute(c).await?) })).await;
    assert!(refused.unwrap_err().to_string().contains("CHECK constraint failed"));
    let found: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(ledger.sqlite.readers()).await.unwrap();
    assert_eq!(found, "ok");
}

#[tokio::test]
async fn what_is_taken_in_is_due_in_order_and_survives_a_reopening() {
    let (folder, ledger) = fresh().await;
    let many: Vec<_> = (0..1_200).map(|n| object(&format!("{n}.ics"), Some(at(2_000 - n)))).collect();
    ledger.take_in(planned(many)).await.unwrap();
    ledger.close().await;
    drop(ledger);
    let ledger = Ledger::open(&folder.path().join("ledger.db")).await.unwrap();
    assert_eq!(ledger.armed().await.unwrap(), 1_200);
    assert_eq!(ledger.next_due(UtcMillis::MIN).await.unwrap(), Some(at(801)));
    let due = all_due(&ledger).await;
    assert!(due.is_sorted_by_key(|timer| timer.due) && due.len() == 1_000);
    assert_eq!(ledger.due(TimerCursor { due: at(900), ..TimerCursor::START }, at(901), 10).await.unwrap().len(), 2);
    assert_eq!(ledger.etags("home", "work").await.unwrap().len(), 1_200);
}

#[tokio::test]
async fn firing_records_firings_deliveries_and_the_next_timer_at_once() {
    let (_folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    let due_object = DueObject { timer, firings: vec![new_firing(1, sink), new_firing(2, sink)], next: Some(at(70)) };
    let fired = ledger.fire(vec![due_object.clone()], at(10)).await.unwrap();
    assert_eq!(fired.stats, FireStats { fired: 2, deliveries: 2, ..FireStats::default() });
    assert_eq!(fired.fired.len(), 2);
    let again = all_due(&ledger).await;
    assert_eq!((again.len(), again[0].due), (1, at(70)));
    // The old timer is gone, so firing it again changes nothing.
    let again_fired = ledger.fire(vec![due_object], at(11)).await.unwrap();
    assert_eq!(again_fired, FireOutcome::default());
    assert_eq!(all_due(&ledger).await, again);
    // The same identity fires once, whatever it comes with.
    let due_object = DueObject { timer: again[0], firings: vec![new_firing(2, sink), new_firing(3, sink)], next: None };
    let fired = ledger.fire(vec![due_object], at(70)).await.unwrap();
    assert_eq!(fired.stats, FireStats { fired: 1, already: 1, deliveries: 1, ..FireStats::default() });
    assert_eq!(fired.fired.len(), 1, "what fired before is not counted as late now");
    assert_eq!(ledger.claim(sink, at(70), at(80), 10).await.unwrap().deliveries.len(), 3);
}

#[tokio::test]
async fn what_an_edit_has_overtaken_is_left_out_and_holds_nothing_up() {
    let (_folder, ledger) = fresh().await;
    ledger.take_in(planned(vec![object("a.ics", Some(at(10))), object("b.ics", Some(at(10)))])).await.unwrap();
    let timers = all_due(&ledger).await;
    let id = ledger.existing(1, &["a.ics"]).await.unwrap()["a.ics"].id;
    let mut edited = object("a.ics", Some(at(10)));
    edited.existing = Some(ObjectVersion { id, revision: 1 });
    ledger.take_in(planned(vec![edited])).await.unwrap();
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    let due_object =
        |(n, timer): (u8, &Timer)| DueObject { timer: *timer, firings: vec![new_firing(n, sink)], next: Some(at(70)) };
    let fired = ledger.fire((1..).zip(&timers).map(due_object).collect(), at(10)).await.unwrap();
    assert_eq!(fired.stats, FireStats { fired: 1, deliveries: 1, ..FireStats::default() });
    assert_eq!(fired.fired.len(), 1);
    let due: Vec<(UtcMillis, i64, i64)> =
        all_due(&ledger).await.iter().map(|timer| (timer.due, timer.object, timer.revision)).collect();
    let other = timers.iter().map(|timer| timer.object).find(|object| *object != id).unwrap();
    assert_eq!(due, [(at(10), id, 2), (at(70), other, 1)], "the edited one is due as it was planned again");
}

#[tokio::test]
async fn firing_some_of_what_is_due_leaves_the_others_armed() {
    let (_folder, ledger) = fresh().await;
    ledger.take_in(planned(["a", "b", "c"].map(|name| object(name, Some(at(10)))).into())).await.unwrap();
    let timers = all_due(&ledger).await;
    let due_object = |timer: &Timer| DueObject { timer: *timer, firings: Vec::new(), next: None };
    ledger.fire(vec![due_object(&timers[2]), due_object(&timers[0])], at(10)).await.unwrap();
    assert_eq!(all_due(&ledger).await, timers[1..2]);
    ledger.fire(vec![due_object(&timers[1])], at(10)).await.unwrap();
    assert_eq!(all_due(&ledger).await, []);
}

#[tokio::test]
async fn what_is_gone_takes_its_timer_along() {
    let (_folder, ledger) = fresh().await;
    ledger.take_in(planned(vec![object("a.ics", Some(at(10))), object("b.ics", Some(at(20)))])).await.unwrap();
    let gone = Planned { gone: vec!["a.ics".to_owned()], ..planned(Vec::new()) };
    ledger.take_in(gone).await.unwrap();
    assert_eq!(ledger.next_due(UtcMillis::MIN).await.unwrap(), Some(at(20)));
    ledger.drop_calendar("home", "work", Vec::new()).await.unwrap();
    assert_eq!(ledger.armed().await.unwrap(), 0);
}

#[tokio::test]
async fn large_notifications_are_claimed_a_few_at_a_time() {
    let (_folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    let numbered = |n: u32, octets: usize| {
        let mut firing = new_firing(0, sink);
        firing.identity[..4].copy_from_slice(&n.to_be_bytes());
        firing.notification = "x".repeat(octets);
        firing
    };
    // More than a page of small ones, then some that are large.
    let small = (0..700).map(|n| numbered(n, 10));
    let firings = small.chain((700..740).map(|n| numbered(n, 1024 * 1024))).collect();
    ledger.fire(vec![DueObject { timer, firings, next: None }], at(10)).await.unwrap();
    let mut claimed = Vec::new();
    let mut seen = HashSet::new();
    loop {
        let claims = ledger.claim(sink, at(10), at(20), 1_000).await.unwrap();
        if claims.deliveries.is_empty() {
            break;
        }
        claimed.push(claims.deliveries.len());
        assert!(claims.deliveries.iter().all(|one| seen.insert(one.firing)), "each is claimed once");
    }
    assert_eq!(claimed, [716, 16, 8]);
}

#[tokio::test]
async fn a_claim_is_exclusive_until_its_lease_ends() {
    let (folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    ledger.fire(vec![DueObject { timer, firings: vec![new_firing(1, sink)], next: None }], at(10)).await.unwrap();
    assert_eq!(ledger.claim(sink, at(10), at(20), 10).await.unwrap().deliveries.len(), 1);
    assert!(ledger.claim(sink, at(19), at(30), 10).await.unwrap().deliveries.is_empty());
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), Some(at(20)));
    assert_eq!(ledger.claim(sink, at(20), at(30), 10).await.unwrap().deliveries.len(), 1);
    // When the daemon ends, nothing of it is being sent any more.
    ledger.close().await;
    drop(ledger);
    let ledger = Ledger::open(&folder.path().join("ledger.db")).await.unwrap();
    assert_eq!(ledger.claim(sink, at(21), at(30), 10).await.unwrap().deliveries.len(), 1);
}

#[tokio::test]
async fn what_is_leased_takes_no_place_in_a_claim() {
    let (_folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    let firings = (1..=5).map(|identity| new_firing(identity, sink)).collect();
    ledger.fire(vec![DueObject { timer, firings, next: None }], at(10)).await.unwrap();
    let claimed = async |now| {
        let claimed = ledger.claim(sink, at(now), at(now + 10), 2).await.unwrap().deliveries;
        claimed.into_iter().map(|claimed| claimed.firing).collect::<Vec<_>>()
    };
    assert_eq!([claimed(10).await, claimed(11).await, claimed(12).await], [vec![1, 2], vec![3, 4], vec![5]]);
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), Some(at(20)));
    // What is settled is no longer leased: the next attempt is when it was put off to.
    let later = |firing| Settlement {
        firing,
        recipient: String::new(),
        next_state: NextState::Retry { response: "451 busy".to_owned(), at: at(13) },
        unknown: false,
        tried: true,
    };
    ledger.settle(sink, vec![later(4), later(2)], at(12)).await.unwrap();
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), Some(at(13)));
    assert_eq!(claimed(13).await, [2, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_claims_beside_a_settling_gets_nothing_twice() {
    let (_folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    let firings = (0..200).map(|identity| new_firing(identity, sink)).collect();
    ledger.fire(vec![DueObject { timer, firings, next: None }], at(10)).await.unwrap();
    let claimer = |ledger: Ledger| async move {
        let mut claimed = Vec::new();
        loop {
            let some = ledger.claim(sink, at(10), at(20), 3).await.unwrap().deliveries;
            if some.is_empty() {
                return claimed;
            }
            claimed.extend(some.iter().map(|claimed| claimed.firing));
            let delivered = |claimed: ClaimedDelivery| Settlement {
                firing: claimed.firing,
                recipient: claimed.recipient,
                next_state: NextState::Delivered,
                unknown: false,
                tried: true,
            };
            ledger.settle(sink, some.into_iter().map(delivered).collect(), at(10)).await.unwrap();
        }
    };
    let claimers: Vec<_> = (0..8).map(|_| tokio::spawn(claimer(ledger.clone()))).collect();
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.unwrap());
    }
    claimed.sort_unstable();
    assert_eq!(claimed, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_waits_for_hours_because_it_may_have_arrived_says_nothing_of_the_clock() {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    const HOURS: i64 = 3_600;
    const NOON: i64 = 12 * HOURS;
    let (_folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    ledger.fire(vec![DueObject { timer, firings: vec![new_firing(1, sink)], next: None }], at(NOON)).await.unwrap();
    ledger.claim(sink, at(NOON), at(NOON + 1), 10).await.unwrap();
    let settled = |next_state, unknown| {
        vec![Settlement { firing: 1, recipient: String::new(), next_state, unknown, tried: true }]
    };
    let later = |response: &str| NextState::Retry { response: response.to_owned(), at: at(NOON + 6 * HOURS) };
    ledger.settle(sink, settled(later("no answer"), true), at(NOON)).await.unwrap();
    assert_eq!(ledger.undo_future_records(at(NOON), DAY).await.unwrap(), None);
    // Three hours before, the clock by which it waits was ahead.
    assert!(ledger.undo_future_records(at(NOON - 3 * HOURS), DAY).await.unwrap().is_some());
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), Some(at(NOON - 3 * HOURS)));
}

#[tokio::test]
async fn what_quiet_hours_hold_is_owed_from_their_end_on() {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    const HOUR: i64 = 3_600;
    let (folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    let route = |until| vec![Route { sink, recipient: String::new(), not_before: Some(at(until)) }];
    let held = NewFiring { routes: route(9 * HOUR), ..new_firing(1, sink) };
    let over = NewFiring { routes: route(9), ..new_firing(2, sink) };
    ledger.fire(vec![DueObject { timer, firings: vec![held, over], next: None }], at(10)).await.unwrap();
    let claim = async |now| {
        let claimed = ledger.claim(sink, at(now), at(now + 1), 10).await.unwrap().deliveries;
        claimed.into_iter().map(|claimed| (claimed.firing, claimed.fired_at)).collect::<Vec<_>>()
    };
    assert_eq!(claim(10).await, [(2, at(10))]);
    let done = Settlement {
        firing: 2,
        recipient: String::new(),
        next_state: NextState::Delivered,
        unknown: false,
        tried: true,
    };
    ledger.settle(sink, vec![done], at(10)).await.unwrap();
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), Some(at(9 * HOUR)));
    // That it waits for so long says nothing of the clock, and to try everything again is not to wake anybody.
    assert_eq!(ledger.undo_future_records(at(10), DAY).await.unwrap(), None);
    let mut admin = OutboxAdmin::open(&folder.path().join("ledger.db")).await.unwrap();
    assert_eq!(admin.retry_all(&[], at(20)).await.unwrap(), 0);
    assert_eq!((claim(9 * HOUR - 1).await, claim(9 * HOUR).await), (vec![], vec![(1, at(9 * HOUR))]));
    // An hour before it was recorded, the clock by which it is held was ahead.
    assert!(ledger.undo_future_records(at(10 - HOUR), DAY).await.unwrap().is_some());
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), Some(at(10 - HOUR)));
}

#[tokio::test]
async fn a_settled_delivery_stays_settled() {
    let (_folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    ledger.fire(vec![DueObject { timer, firings: vec![new_firing(1, sink)], next: None }], at(10)).await.unwrap();
    let claimed = ledger.claim(sink, at(10), at(20), 10).await.unwrap().deliveries;
    let settle = |next_state| {
        vec![Settlement {
            firing: claimed[0].firing,
            recipient: String::new(),
            next_state,
            unknown: false,
            tried: true,
        }]
    };
    let later = NextState::Retry { response: "451 busy".to_owned(), at: at(40) };
    ledger.settle(sink, settle(later), at(11)).await.unwrap();
    assert!(ledger.claim(sink, at(39), at(50), 10).await.unwrap().deliveries.is_empty());
    assert_eq!(ledger.claim(sink, at(40), at(50), 10).await.unwrap().deliveries[0].attempts, 1);
    ledger.settle(sink, settle(NextState::Delivered), at(41)).await.unwrap();
    let late = NextState::Failed { response: "550".to_owned() };
    ledger.settle(sink, settle(late), at(42)).await.unwrap();
    let states: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, attempts FROM deliveries").fetch_all(ledger.sqlite.readers()).await.unwrap();
    assert_eq!(states, [("delivered".to_owned(), 2)]);
    assert_eq!(ledger.next_attempt(sink).await.unwrap(), None);
}

#[tokio::test]
async fn operations_that_share_a_commit_fail_alone() {
    let (_folder, ledger) = fresh().await;
    let bad = |ledger: Ledger| async move {
        ledger
            .sqlite
            .write(move |c| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO meta VALUES ('half', 'done')").execute(&mut *c).await?;
                    sqlx::query("INSERT INTO meta VALUES ('half', 'twice')").execute(c).await?;
                    Ok(())
                })
            })
            .await
    };
    let good: Vec<_> = (0..20)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.set_meta(&format!("key {n}"), "here").await })
        })
        .collect();
    let failing: Vec<_> = (0..5).map(|_| tokio::spawn(bad(ledger.clone()))).collect();
    for task in good {
        task.await.unwrap().unwrap();
    }
    for task in failing {
        assert!(task.await.unwrap().is_err());
    }
    assert_eq!(ledger.meta("key 19").await.unwrap().as_deref(), Some("here"));
    assert_eq!(ledger.meta("half").await.unwrap(), None);
}

#[tokio::test]
async fn statements_that_matter_use_their_index() {
    let (_folder, ledger) = fresh().await;
    for (sql, index) in [
        (
            "SELECT due, object, revision FROM timers WHERE (due, object) >= (?, ?) AND due <= ? ORDER BY due, object LIMIT ?",
            "PRIMARY KEY",
        ),
        ("DELETE FROM timers WHERE (due, object, revision) IN (VALUES (?, ?, ?), (?, ?, ?))", "PRIMARY KEY"),
        ("DELETE FROM timers WHERE (due, object) >= (?, ?) AND (due, object) <= (?, ?)", "PRIMARY KEY"),
        (outbox::CLAIMABLE, "deliveries_pending"),
        (outbox::NEXT, "deliveries_pending"),
        (outbox::DELIVERED, "PRIMARY KEY"),
        (outbox::SETTLE, "PRIMARY KEY"),
        (inspect::STATS, "deliveries_pending"),
        (inspect::STATS, "deliveries_failed"),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(ledger.sqlite.readers())
                .await
                .unwrap();
        assert!(plan.iter().any(|step| step.3.contains(index)), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|step| step.3.contains("TEMP B-TREE")), "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn a_long_log_is_moved_beside_the_writer() {
    let (folder, ledger) = fresh().await;
    for n in 0..24 {
        ledger.set_meta(&format!("key {n}"), &"x".repeat(1 << 20)).await.unwrap();
    }
    let options = options(&folder.path().join("ledger.db"));
    let mut reader = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let moved = async {
        // 24 MiB are some 6,000 pages; the writer itself would move them at 16,000.
        while wal::unmoved(&mut reader).await.unwrap() >= 4_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), moved).await.expect("the log is not moved");
    ledger.close().await;
}

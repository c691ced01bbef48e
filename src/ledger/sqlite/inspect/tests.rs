use std::path::Path;

use jiff::SignedDuration;

use crate::calendar_info::CalendarInfo;
use crate::ledger::{
    AdminOutcome, ArmedFilter, CalendarRow, DeliveryFilter, DeliveryId, DeliveryState, DueObject, FiringState,
    FiringsOf, Inspector, Ledger, LedgerError, NewFiring, NextState, OutboxAdmin, Planned, PlannedObject, Route,
    Settlement, SourceSync, TimerCursor, holder, is_held_by,
};
use crate::time::UtcMillis;

const NOW: UtcMillis = UtcMillis(1_000_000);
const FAR: UtcMillis = UtcMillis(9_000_000);

fn object(href: &str, due: i64, faults: Option<&str>) -> PlannedObject {
    PlannedObject {
        existing: None,
        href: href.to_owned(),
        etag: "1".to_owned(),
        last_modified: None,
        faults: faults.map(str::to_owned),
        unread_since: None,
        count_cache: None,
        zones: " UTC ".to_owned(),
        uids: vec![format!("uid-of-{href}")],
        text: b"BEGIN:VCALENDAR".to_vec(),
        due: Some(UtcMillis(due)),
        overdue: Vec::new(),
    }
}

/// A ledger with a calendar of three objects, of which the first has fired: standard output took it, the mail failed.
async fn fill(path: &Path) -> Ledger {
    let ledger = Ledger::open(path).await.unwrap();
    let sinks = ledger.sinks(&["stdout", "email"]).await.unwrap();
    let calendar = CalendarRow {
        source: "home".into(),
        info: CalendarInfo {
            href: "work".into(),
            id: "work".into(),
            user: "mary".into(),
            name: "Work".into(),
            ..CalendarInfo::default()
        },
        last_synced_at: NOW,
        ..CalendarRow::default()
    };
    let put = vec![
        object("a.ics", 1_000_100, None),
        object("b.ics", 2_000_000, Some(r#"["line 3: bad"]"#)),
        object("c.ics", 3_000_000, None),
    ];
    let (retag, doubted, gone, replanned) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let planned = Planned {
        calendar,
        advance: true,
        put,
        retag,
        doubted,
        gone,
        replanned,
        events: Vec::new(),
        from: NOW,
        now: NOW,
        forget_before: NOW,
    };
    ledger.take_in(planned).await.unwrap();
    ledger.record_source_sync("home", "directory", SourceSync { at: NOW, error: None, next_try: None }).await.unwrap();
    let timer = ledger.due(TimerCursor::START, UtcMillis(1_000_100), 10).await.unwrap().remove(0);
    let route =
        |sink: &str, recipient: &str| Route { sink: sinks[sink], recipient: recipient.to_owned(), not_before: None };
    let firing = NewFiring {
        identity: [1; 16],
        calendar: 1,
        object: timer.object,
        due: timer.due,
        state: FiringState::Fired,
        count: 1,
        notification: r#"{"uid":"uid-of-a.ics"}"#.to_owned(),
        routes: vec![route("stdout", ""), route("email", "mary@example.org")],
    };
    let fired_at = UtcMillis(1_000_107);
    ledger.fire(vec![DueObject { timer, firings: vec![firing], next: None }], fired_at).await.unwrap();
    let settled = |recipient: &str, next_state| {
        vec![Settlement { firing: 1, recipient: recipient.to_owned(), next_state, unknown: false, tried: true }]
    };
    ledger.settle(sinks["stdout"], settled("", NextState::Delivered), fired_at).await.unwrap();
    let refused = NextState::Failed { response: "550 no such user".to_owned() };
    ledger.settle(sinks["email"], settled("mary@example.org", refused), fired_at).await.unwrap();
    ledger
}

#[tokio::test]
async fn what_is_seen_while_the_daemon_runs_and_after_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = fill(&path).await;
    assert_eq!(holder(&path).as_deref(), Some(std::process::id().to_string().as_str()));
    // Another process may have that number here, where it is that of a container.
    assert!(is_held_by(&path, &std::process::id().to_string()) && !is_held_by(&path, "1"));
    inspect(&path).await;
    ledger.close().await;
    drop(ledger);
    assert_eq!(holder(&path), None);
    inspect(&path).await;
}

async fn inspect(path: &Path) {
    let mut inspector = Inspector::open(path).await.unwrap();
    let stats = inspector.stats().await.unwrap();
    assert_eq!((stats.calendars, stats.objects, stats.faulty, stats.armed), (1, 3, 1, 2));
    assert_eq!((stats.next_due, stats.pending, stats.failed), (Some(UtcMillis(2_000_000)), 0, 1));
    let sources = inspector.sources().await.unwrap();
    assert_eq!((sources[0].name.as_str(), sources[0].last_synced_at, &sources[0].failure), ("home", Some(NOW), &None));
    let calendars = inspector.calendars().await.unwrap();
    assert_eq!((calendars[0].objects, calendars[0].faulty, calendars[0].armed), (3, 1, 2));
    assert_eq!(calendars[0].next_due, Some(UtcMillis(2_000_000)));
    assert_eq!(inspector.lateness(10).await.unwrap(), [SignedDuration::from_millis(7)]);

    let firings = inspector.firings(UtcMillis::MIN, None, 10).await.unwrap();
    assert_eq!((firings[0].state, firings[0].href.as_deref()), (Some(FiringState::Fired), Some("a.ics")));
    assert!(inspector.firings(UtcMillis(1_000_108), None, 10).await.unwrap().is_empty());
    let of = FiringsOf { object: firings[0].object + 1, uid: "another", user: "mary" };
    assert!(inspector.firings(UtcMillis::MIN, Some(of), 10).await.unwrap().is_empty());

    let all = inspector.deliveries(DeliveryFilter::All, 10).await.unwrap();
    let states: Vec<_> = all.iter().map(|d| (d.sink.as_str(), d.state)).collect();
    assert_eq!(states, [("email", Some(DeliveryState::Failed)), ("stdout", Some(DeliveryState::Delivered))]);
    let failed = inspector.deliveries(DeliveryFilter::Failed, 10).await.unwrap();
    assert_eq!((failed.len(), failed[0].response.as_deref()), (1, Some("550 no such user")));
    assert!(inspector.deliveries(DeliveryFilter::Pending, 10).await.unwrap().is_empty());
    inspector.close().await.unwrap();
}

#[tokio::test]
async fn what_fires_next_in_pages_and_by_user_and_calendar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let _ledger = fill(&path).await;
    let mut inspector = Inspector::open(&path).await.unwrap();
    let (start, all) = (TimerCursor::START, ArmedFilter { until: FAR, ..ArmedFilter::ALL });
    let first = inspector.armed(start, all, 1).await.unwrap().remove(0);
    assert_eq!(first.href, "b.ics");
    let after = TimerCursor { due: first.due.unwrap(), object: first.id };
    let second = inspector.armed(after, all, 5).await.unwrap();
    assert_eq!(second.iter().map(|object| object.href.as_str()).collect::<Vec<_>>(), ["c.ics"]);
    let until = inspector.armed(start, ArmedFilter { until: UtcMillis(3_000_000), ..all }, 5).await.unwrap();
    assert_eq!(until.len(), 1, "until is not part of the window");
    let work = ArmedFilter { user: Some("mary"), calendar: Some("Work"), ..all };
    assert_eq!(inspector.armed(start, work, 5).await.unwrap().len(), 2);
    assert!(inspector.armed(start, ArmedFilter { user: Some("eve"), ..all }, 5).await.unwrap().is_empty());
    assert!(inspector.armed(start, ArmedFilter { calendar: Some("Home"), ..all }, 5).await.unwrap().is_empty());
    assert_eq!(inspector.objects_of("uid-of-a.ics").await.unwrap()[0].due, None);
    assert!(inspector.objects_of("unknown").await.unwrap().is_empty());
}

#[tokio::test]
async fn deliveries_are_retried_and_cancelled_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = fill(&path).await;
    let mut admin = OutboxAdmin::open(&path).await.unwrap();
    let mail: DeliveryId = "1/email/mary@example.org".parse().unwrap();
    assert_eq!(admin.cancel(&mail, NOW).await.unwrap(), AdminOutcome::Is(DeliveryState::Failed));
    assert_eq!(admin.retry(&mail, &[], NOW).await.unwrap(), AdminOutcome::Changed);
    let email = ledger.sinks(&["email"]).await.unwrap()["email"];
    let claimed = ledger.claim(email, NOW, FAR, 10).await.unwrap().deliveries;
    assert_eq!(claimed.len(), 1, "the daemon sends it again");
    assert_eq!(admin.cancel(&mail, NOW).await.unwrap(), AdminOutcome::Changed);
    assert_eq!(admin.cancel(&mail, NOW).await.unwrap(), AdminOutcome::Is(DeliveryState::Cancelled));
    let done: DeliveryId = "1/stdout".parse().unwrap();
    assert_eq!(admin.retry(&done, &[], NOW).await.unwrap(), AdminOutcome::Is(DeliveryState::Delivered));
    assert_eq!(admin.retry(&"7/stdout".parse().unwrap(), &[], NOW).await.unwrap(), AdminOutcome::Unknown);
    assert_eq!(admin.retry_all(&[], NOW).await.unwrap(), 0, "what was cancelled stays so");
    admin.close().await.unwrap();
}

#[test]
fn ids_of_deliveries_are_read_as_they_are_written() {
    for text in ["1/stdout", "17/e-mail/a/b@example.org"] {
        assert_eq!(text.parse::<DeliveryId>().unwrap().to_string(), text);
    }
    for wrong in ["", "1", "1/", "x/stdout", "/stdout"] {
        assert!(wrong.parse::<DeliveryId>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_not_a_ledger_is_refused_with_that_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    assert!(matches!(Inspector::open(&path).await, Err(LedgerError::Missing { .. })));
    assert!(matches!(OutboxAdmin::open(&path).await, Err(LedgerError::Missing { .. })));
    assert!(!path.exists(), "reading makes no file");
    for content in ["", "no database at all, but long enough to be taken for one if it is not read"] {
        std::fs::write(&path, content).unwrap();
        let error = Inspector::open(&path).await.unwrap_err();
        assert!(matches!(&error, LedgerError::Open { .. } | LedgerError::CorruptFile { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_ledger_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    Ledger::open(&path).await.unwrap().close().await;
    let mut admin = OutboxAdmin::open(&path).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(later).execute(admin.connection()).await.unwrap();
    assert!(matches!(Inspector::open(&path).await, Err(LedgerError::Newer { .. })));
    assert!(matches!(OutboxAdmin::open(&path).await, Err(LedgerError::Newer { .. })));
}

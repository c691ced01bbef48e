use super::super::migrate::{MIGRATIONS, migrator};
use super::super::tests::{all_due, at, fresh, new_firing, object, planned};
use super::*;
use crate::ledger::{DueObject, FiredUntil, Inspector, Ledger};

/// A ledger with one firing that is owed to one sink, and a timer for later.
async fn owing() -> (tempfile::TempDir, Ledger) {
    let (folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    let timer = all_due(&ledger).await[0];
    ledger
        .fire(vec![DueObject { timer, firings: vec![new_firing(1, sink)], next: Some(at(70)) }], at(10))
        .await
        .unwrap();
    (folder, ledger)
}

async fn stats(path: &Path) -> (i64, i64, i64) {
    let mut inspector = Inspector::open(path).await.unwrap();
    let stats = inspector.stats().await.unwrap();
    (stats.armed, stats.pending, stats.failed)
}

#[tokio::test]
async fn a_copy_of_a_ledger_in_use_is_whole_private_and_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, ledger) = owing().await;
    let copy = folder.path().join("copy.db");
    let size = backup(&folder.path().join("ledger.db"), &copy, at(20)).await.unwrap();
    let metadata = fs::metadata(&copy).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (size, 0o600));
    assert_eq!(stats(&copy).await, (1, 1, 0));
    // What comes after the copy is not in it, and nothing else was left behind.
    ledger.take_in(planned(vec![object("b.ics", Some(at(90)))])).await.unwrap();
    assert_eq!(stats(&copy).await, (1, 1, 0));
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let copies: Vec<String> = names.filter(|name| name.starts_with("copy")).collect();
    assert_eq!(copies, ["copy.db"]);
}

#[tokio::test]
async fn nothing_is_written_over() {
    let (folder, ledger) = owing().await;
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("copy.db"));
    fs::write(&copy, "mine").unwrap();
    assert!(matches!(backup(&path, &copy, at(20)).await, Err(LedgerError::Exists { .. })));
    assert_eq!(fs::read_to_string(&copy).unwrap(), "mine");
    fs::remove_file(&copy).unwrap();
    backup(&path, &copy, at(20)).await.unwrap();
    assert!(matches!(restore(&copy, &path, at(30), at(30)).await, Err(LedgerError::InUse { .. })));
    ledger.close().await;
    drop(ledger);
    assert!(matches!(restore(&copy, &path, at(30), at(30)).await, Err(LedgerError::Exists { .. })));
    fs::remove_file(&path).unwrap();
    // The log of a ledger that was lost would be taken for that of the copy.
    fs::write(folder.path().join("ledger.db-wal"), "left").unwrap();
    assert!(matches!(restore(&copy, &path, at(30), at(30)).await, Err(LedgerError::Exists { .. })));
}

#[tokio::test]
async fn what_is_put_in_its_place_while_a_copy_is_made_stays() {
    let (folder, _ledger) = owing().await;
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("copy.db"));
    let draft = Draft::of(&path, &copy, &path).await.unwrap();
    fs::write(&copy, "mine").unwrap();
    assert!(matches!(draft.finish(), Err(LedgerError::Exists { .. })));
    assert_eq!(fs::read_to_string(&copy).unwrap(), "mine");
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("partial")).count(), 0);
}

#[tokio::test]
async fn what_a_copy_owed_until_then_is_given_up_and_the_rest_stays_owed() {
    let (folder, ledger) = owing().await;
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("copy.db"));
    backup(&path, &copy, at(20)).await.unwrap();
    drop(ledger);
    let (before, after) = (folder.path().join("before.db"), folder.path().join("after.db"));
    let restored = restore(&copy, &before, at(9), at(30)).await.unwrap();
    assert_eq!(restored, Restored { backed_up_at: Some(at(20)), fired_until: at(9), given_up: 0 });
    assert_eq!(stats(&before).await, (1, 1, 0), "the firing of second 10 came after second 9");
    assert_eq!(restore(&copy, &after, at(10), at(30)).await.unwrap().given_up, 1);
    assert_eq!(stats(&after).await, (1, 0, 1));
    let ledger = Ledger::open(&after).await.unwrap();
    assert_eq!(
        ledger.fired_until(at(40)).await.unwrap(),
        FiredUntil { at: Some(at(10)), restored: None },
        "it is no longer a mere copy"
    );
}

#[tokio::test]
async fn a_copy_that_was_put_back_by_hand_counts_everything_until_its_first_use_as_fired() {
    let (folder, ledger) = owing().await;
    let copy = folder.path().join("copy.db");
    let nowhere = folder.path().join("nowhere/copy.db");
    let refused = backup(&folder.path().join("ledger.db"), &nowhere, at(20)).await.unwrap_err().to_string();
    assert!(refused.ends_with("nowhere does not exist: make it first"), "{refused}");
    backup(&folder.path().join("ledger.db"), &copy, at(20)).await.unwrap();
    assert_eq!(ledger.fired_until(at(25)).await.unwrap(), FiredUntil::default(), "the ledger itself stays what it was");
    let ledger = Ledger::open(&copy).await.unwrap();
    let FiredUntil { at: until, restored } = ledger.fired_until(at(40)).await.unwrap();
    assert_eq!((until, restored.map(|restored| restored.given_up)), (Some(at(40)), Some(1)));
    assert_eq!(
        ledger.fired_until(at(50)).await.unwrap(),
        FiredUntil { at: Some(at(40)), restored: None },
        "and that is said once"
    );
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("text"), folder.path().join("ledger.db"));
    assert!(matches!(restore(&from, &to, at(0), at(0)).await, Err(LedgerError::Missing { .. })));
    fs::write(&from, "this is no database, and long enough to be asked".repeat(100)).unwrap();
    assert!(matches!(restore(&from, &to, at(0), at(0)).await, Err(LedgerError::CorruptCopy { .. })));
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(left.iter().all(|name| name == "text" || name == "ledger.db.lock"), "{left:?}");
}

#[tokio::test]
async fn a_backup_of_an_earlier_version_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (old, path) = (folder.path().join("old.db"), folder.path().join("ledger.db"));
    let options = SqliteConnectOptions::new().filename(&old).create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    migrator(&MIGRATIONS[..9]).run_direct(None, &mut connection, false).await.unwrap();
    let rows = "INSERT INTO sinks VALUES (1, 'out');
        INSERT INTO rings VALUES (1, x'01010101010101010101010101010101', 1, 1, 10, 10, 'fired', 1, '{}'),
            (2, x'02020202020202020202020202020202', 1, 1, 50000, 50000, 'fired', 1, '{}');
        INSERT INTO deliveries (ring, sink, recipient, state, attempts, next_attempt)
            VALUES (1, 1, '', 'pending', 0, 10), (2, 1, '', 'pending', 0, 50000)";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let restored = restore(&old, &path, UtcMillis(20_000), UtcMillis(60_000)).await.unwrap();
    assert_eq!(restored.given_up, 1);
    assert_eq!(stats(&path).await, (0, 1, 1));
}

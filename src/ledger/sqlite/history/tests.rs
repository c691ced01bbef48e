use super::super::tests::{all_due, at, fresh, new_firing, object, planned};
use crate::ledger::{CalendarKey, UnchangedSync};
use crate::ledger::{ClaimedDelivery, DueObject, Forgotten, HistoryCursor, Ledger, NewFiring, NextState, Settlement};
use crate::time::UtcMillis;

/// A ledger whose only object has fired at the seconds 10 to 19, each recorded when it was due; the calendar was synced
/// at last at second 0, and the object fires next at `next`.
async fn fired(next: Option<UtcMillis>) -> (tempfile::TempDir, Ledger, i64) {
    let (folder, ledger) = fresh().await;
    let sink = ledger.sinks(&["out"]).await.unwrap()["out"];
    ledger.take_in(planned(vec![object("a.ics", Some(at(10)))])).await.unwrap();
    for second in 10..20 {
        let timer = all_due(&ledger).await[0];
        let firing = NewFiring { due: at(second), ..new_firing(u8::try_from(second).unwrap(), sink) };
        let next = if second < 19 { Some(at(second + 1)) } else { next };
        ledger.fire(vec![DueObject { timer, firings: vec![firing], next }], at(second)).await.unwrap();
    }
    (folder, ledger, sink)
}

/// Says that the calendar was synced at `second`.
async fn sync(ledger: &Ledger, second: i64) {
    ledger
        .record_syncs(vec![UnchangedSync { calendar: CalendarKey::new("home", "work"), at: at(second) }], at(second))
        .await
        .unwrap();
}

async fn deliver(ledger: &Ledger, sink: i64) {
    let claimed = ledger.claim(sink, at(20), at(21), 100).await.unwrap().deliveries;
    let settled = |c: ClaimedDelivery| Settlement {
        firing: c.firing,
        recipient: c.recipient,
        next_state: NextState::Delivered,
        unknown: false,
        tried: true,
    };
    ledger.settle(sink, claimed.into_iter().map(settled).collect(), at(20)).await.unwrap();
}

/// Forgets what was before `second`, `limit` at a time; how many that were, in each batch.
async fn forgotten(ledger: &Ledger, second: i64, limit: i64) -> Vec<u64> {
    let (mut place, mut batches) = (Some(HistoryCursor::START), Vec::new());
    while let Some(from) = place {
        let Forgotten { firings, next } = ledger.forget(at(second), from, limit).await.unwrap();
        batches.push(firings);
        place = next;
    }
    batches
}

async fn left(ledger: &Ledger) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM firings), (SELECT count(*) FROM deliveries)";
    sqlx::query_as(sql).fetch_one(ledger.sqlite.readers()).await.unwrap()
}

#[tokio::test]
async fn what_is_old_and_settled_goes_in_small_batches_with_its_deliveries() {
    let (_folder, ledger, sink) = fired(None).await;
    deliver(&ledger, sink).await;
    sync(&ledger, 30).await;
    assert_eq!(forgotten(&ledger, 17, 3).await, [3, 3, 1, 0]);
    assert_eq!(left(&ledger).await, (3, 3), "seconds 17, 18 and 19");
}

#[tokio::test]
async fn what_is_still_owed_stays() {
    let (_folder, ledger, sink) = fired(None).await;
    sync(&ledger, 30).await;
    assert_eq!(forgotten(&ledger, 20, 100).await, [0, 0], "nothing has been delivered");
    ledger.claim(sink, at(20), at(21), 4).await.unwrap();
    let failed = |firing| Settlement {
        firing,
        recipient: String::new(),
        next_state: NextState::Failed { response: "550".to_owned() },
        unknown: false,
        tried: true,
    };
    ledger.settle(sink, vec![failed(1), failed(2)], at(20)).await.unwrap();
    assert_eq!(forgotten(&ledger, 20, 100).await, [2, 0], "what has failed is owed no longer");
}

#[tokio::test]
async fn what_could_be_made_again_stays() {
    let (_folder, ledger, sink) = fired(None).await;
    deliver(&ledger, sink).await;
    sync(&ledger, 14).await;
    assert_eq!(forgotten(&ledger, 20, 100).await, [4, 0], "what was due at the last sync or later may come again");
    let (_folder, ledger, sink) = fired(Some(at(16))).await;
    deliver(&ledger, sink).await;
    sync(&ledger, 30).await;
    assert_eq!(forgotten(&ledger, 20, 100).await, [6, 0], "the timer was set back to second 16");
    let timer = all_due(&ledger).await[0];
    let again: Vec<NewFiring> = (16..20).map(|n| NewFiring { due: at(i64::from(n)), ..new_firing(n, sink) }).collect();
    let fired = ledger.fire(vec![DueObject { timer, firings: again, next: None }], at(31)).await.unwrap().stats;
    assert_eq!((fired.fired, fired.already), (0, 4));
}

#[tokio::test]
async fn what_was_recorded_ahead_of_its_time_stays() {
    let (_folder, ledger, sink) = fired(None).await;
    deliver(&ledger, sink).await;
    sync(&ledger, 30).await;
    let ahead = "UPDATE firings SET due = due + 1000000";
    ledger
        .sqlite
        .write(move |c| {
            Box::pin(async move {
                sqlx::query(ahead).execute(c).await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    assert_eq!(forgotten(&ledger, 20, 100).await, [0, 0]);
}

//! What a ledger has armed, beside what should be.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use reveille::time::UtcMillis;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use tokio::runtime::{Builder, Runtime};

/// Between two questions to a ledger that another process writes: nothing tells when it has.
const PAUSE: Duration = Duration::from_millis(5);

/// When an alarm of each event fires next, by its SUMMARY.
pub type Timers = BTreeMap<String, UtcMillis>;

/// A reader of a daemon's ledger.
pub struct Armed {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Armed {
    /// Opens the ledger at `path`, which a daemon has made.
    pub fn of(path: &Path) -> Armed {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connection =
            runtime.block_on(SqliteConnectOptions::new().filename(path).read_only(true).connect()).unwrap();
        Armed { runtime, connection }
    }

    /// What is armed now. Two objects with one SUMMARY are refused: a test gives each its own.
    pub fn now(&mut self) -> Timers {
        let query =
            sqlx::query("SELECT timers.due, objects.text FROM timers JOIN objects ON objects.id = timers.object");
        let rows = self.runtime.block_on(query.fetch_all(&mut self.connection)).unwrap();
        let timers: Vec<(String, UtcMillis)> =
            rows.iter().map(|row| (summary(&row.get::<Vec<u8>, _>("text")), UtcMillis(row.get("due")))).collect();
        let many = timers.len();
        let timers: Timers = timers.into_iter().collect();
        assert_eq!(timers.len(), many, "objects that share a SUMMARY");
        timers
    }

    /// Waits until exactly `wanted` is armed and returns how long that took; fails with what is missing and what is
    /// stale when it is not so `within` that time. `context` says more then.
    pub fn until(&mut self, wanted: &Timers, within: Duration, context: impl Fn() -> String) -> Duration {
        let began = Instant::now();
        loop {
            let armed = self.now();
            let waited = began.elapsed();
            if armed == *wanted {
                return waited;
            }
            assert!(waited <= within, "after {within:?}: {}\n{}", difference(wanted, &armed), context());
            std::thread::park_timeout(PAUSE);
        }
    }
}

/// How many of `wanted` are not so, what is not wanted, and some of their names.
fn difference(wanted: &Timers, armed: &Timers) -> String {
    let lacks = |has: &Timers, lacking: &Timers| {
        let names = has.iter().filter(|(name, due)| lacking.get(*name) != Some(due)).map(|(name, _)| name.as_str());
        let names: Vec<&str> = names.collect();
        (names.len(), names.into_iter().take(5).collect::<Vec<&str>>().join(", "))
    };
    let ((missing, absent), (stale, wrong)) = (lacks(wanted, armed), lacks(armed, wanted));
    format!("of {} alarms {missing} are missing ({absent} …); {stale} are stale ({wrong} …)", wanted.len())
}

fn summary(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().find_map(|line| line.strip_prefix("SUMMARY:")).unwrap_or_default().to_owned()
}

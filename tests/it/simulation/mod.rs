//! Deterministic simulation: the whole pipeline, from the store to the sinks, lives through random days.
//!
//! A seed decides everything: what is in the store and how it is edited, when it is looked at and when it cannot be
//! reached, when processes end (killed, at any commit: just before it or just after, or while sending) and start again,
//! with which time zone database, which commits fail, how sinks fail, how the clock is set and how long the machine
//! sleeps. In a share of the seeds the mail sink limits how many mails a user gets within an hour, or the clock jumps
//! now and then, by seconds, days, or to the year 2099, and is put right within the hour. The program's own stages do
//! the work: the daemon's [`Core`](reveille::daemon::Core), a ledger on a real file, the wheel, the delivery workers.
//! Each step is awaited to its end in one thread, and the clock is set by hand, so that the same seed is the same run.
//! Afterwards a [`model`] that shares no code with the program says what must be in the ledger, and [`deliveries`] what
//! the sinks must have got.
//!
//! * [`run`] makes a run of a seed. [`world`] drives the program's stages.
//! * [`store`], [`sink`] and [`disk`] stand around the program. [`event`] makes events and writes them down.
//! * [`model`] says what must fire; [`occurrences`] counts out when, with the clocks and dates of [`walls`].
//! * [`sources`] is the same with the program's CalDAV sources before a server that lies and heals.
//! * [`found`] tells what it found, once more and shortly.
//! * `planted/` holds bugs that the simulation must find: `tests/it/simulation/planted/find` puts each into a copy.
//!
//! `REVEILLE_SEEDS=200000 cargo test --release --test it simulation::random` runs so many seeds; `REVEILLE_SEED=17`
//! replays one and prints what happens in it. With both, seeds from the second on are run.

use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use reveille::ledger::Ledger;

#[allow(dead_code, reason = "what a limit says of itself is asked by the sink alone")]
#[path = "../../../src/delivery/sink/email/allowance.rs"]
mod allowance;
mod deliveries;
pub mod disk;
mod event;
mod found;
mod model;
mod occurrences;
mod run;
mod sink;
mod sources;
mod store;
pub mod walls;
pub mod world;

use run::Violation;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A folder in memory, where there is one: what a simulation writes need not last.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// An empty ledger, to be copied: making one costs more than a run.
fn template(folder: &Path) -> PathBuf {
    let path = folder.join("empty.db");
    runtime().block_on(async { Ledger::open(&path).await.unwrap().close().await });
    path
}

/// The figures of a run, or of several.
trait Sum: Default + Debug + Display + PartialEq + Send {
    fn add(&mut self, other: Self);
}

/// What a seed is made into.
struct Kind<F> {
    /// By which tests of it are chosen.
    name: &'static str,
    /// Seeds that `cargo test` runs.
    seeds: u64,
    run: fn(u64, &Path, bool) -> Result<F, Violation>,
}

/// Days before a store that says what is so.
const DAYS: Kind<world::Figures> = Kind {
    name: "random_days",
    seeds: 300,
    run: |seed, ledger, trail| runtime().block_on(run::run(seed, ledger, trail)),
};
/// Days before servers that do not.
const SOURCES: Kind<sources::Figures> = Kind {
    name: "random_sources",
    seeds: 100,
    run: |seed, ledger, trail| runtime().block_on(sources::run(seed, ledger, trail)),
};

impl<F: Sum> Kind<F> {
    fn one(&self, seed: u64, folder: &Path, empty: &Path, trail: bool) -> Result<F, Violation> {
        let ledger = folder.join(format!("{seed}.db"));
        std::fs::copy(empty, &ledger).unwrap();
        let outcome = (self.run)(seed, &ledger, trail);
        for end in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(folder.join(format!("{seed}.db{end}")));
        }
        outcome
    }

    /// Replays `seed` and says all that happened in it.
    fn replay(&self, seed: u64, folder: &Path, empty: &Path) {
        match self.one(seed, folder, empty, true) {
            Ok(figures) => println!("seed {seed}: as it must be; {figures:?}"),
            Err(Violation { what, trail }) => panic!(
                "seed {seed}: {what}\n\nWhat happened:\n{}\n\nTo see it again:\n  REVEILLE_SEED={seed} cargo test --test it simulation::{} -- --nocapture",
                trail.join("\n"),
                self.name
            ),
        }
    }

    /// Runs as many seeds as the environment asks for, or replays one; returns their figures.
    fn seeds(&self) -> F {
        let folder = folder();
        let empty = template(folder.path());
        let (seed, seeds) = (number("REVEILLE_SEED"), number("REVEILLE_SEEDS"));
        if let (Some(seed), None) = (seed, seeds) {
            self.replay(seed, folder.path(), &empty);
            return F::default();
        }
        let first = seed.unwrap_or_default();
        let last = first + seeds.unwrap_or(self.seeds);
        let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
        let (sum, wrong) = (Mutex::new(F::default()), Mutex::new(None::<(u64, String)>));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while !failed.load(Ordering::SeqCst) {
                        let seed = next.fetch_add(1, Ordering::SeqCst);
                        if seed >= last {
                            return;
                        }
                        match self.one(seed, folder.path(), &empty, false) {
                            Ok(figures) => sum.lock().unwrap().add(figures),
                            Err(Violation { what, .. }) => {
                                failed.store(true, Ordering::SeqCst);
                                let mut wrong = wrong.lock().unwrap();
                                if wrong.as_ref().is_none_or(|(other, _)| seed < *other) {
                                    *wrong = Some((seed, what));
                                }
                            }
                        }
                    }
                });
            }
        });
        if let Some((seed, what)) = wrong.into_inner().unwrap() {
            println!("after {} seeds:", seed - first + 1);
            self.replay(seed, folder.path(), &empty);
            panic!("seed {seed} went wrong once and not again, so the simulation is not deterministic: {what}");
        }
        let sum = sum.into_inner().unwrap();
        println!("{} seeds in {:.1} s: {sum}", last - first, began.elapsed().as_secs_f64());
        sum
    }

    /// Whether the same seed is the same run.
    fn repeats(&self) {
        let folder = folder();
        let empty = template(folder.path());
        for seed in 0..15 {
            let figures = |_| self.one(seed, folder.path(), &empty, false).map_err(|wrong| wrong.what);
            let twice: Vec<_> = (0..2).map(figures).collect();
            assert_eq!(twice[0], twice[1], "seed {seed}");
        }
    }
}

/// Whether one seed alone is replayed.
fn replays() -> bool {
    number("REVEILLE_SEED").is_some() && number("REVEILLE_SEEDS").is_none()
}

#[test]
fn random_days_fire_what_they_must_and_nothing_else() {
    let sum = DAYS.seeds();
    assert!(replays() || (sum.fired > 0 && sum.before_commit > 0 && sum.after_commit > 0), "{sum}");
    assert!(replays() || (sum.held > 0 && sum.jumps > 0 && sum.taken_back > 0), "{sum}");
}

#[test]
fn random_sources_that_lie_and_heal_lose_nothing() {
    let sum = SOURCES.seeds();
    assert!(replays() || (sum.fired > 0 && sum.lied_to > 0 && sum.compared > 0 && sum.at_commits > 0), "{sum}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    DAYS.repeats();
    SOURCES.repeats();
}

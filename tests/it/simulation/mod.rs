//! Deterministic simulation: the whole pipeline, from the store to the sinks, lives through random days.
//!
//! A seed decides everything: what is in the store and how it is edited, when it is looked at and when it cannot be
//! reached, when processes end (killed, at any commit: just before it or just after, or while sending) and start again, with
//! which time zone database, which commits fail, how sinks fail, how the clock is set and how long the machine
//! sleeps. The program's own stages do the work: the daemon's [`Core`](reveille::daemon::Core), a ledger on a real file,
//! the wheel, the postmen. Each step is awaited to its end in one thread, and the clock is set by hand, so that the same seed
//! is the same run. Afterwards a [`model`] that shares no code with the program says what must be in the ledger,
//! and [`deliveries`] what the sinks must have got.
//!
//! * [`run`] makes a run of a seed. [`world`] drives the program's stages.
//! * [`store`], [`sink`] and [`disk`] stand around the program. [`event`] makes events and writes them down.
//! * [`model`] says what must ring; [`occurrences`] counts out when, with the clocks and dates of [`walls`].
//! * [`found`] tells what it found, once more and shortly.
//! * `planted/` holds bugs that the simulation must find: `tests/it/simulation/planted/find` puts each into a copy.
//!
//! `REVEILLE_SEEDS=200000 cargo test --release --test it simulation::random` runs so many seeds; `REVEILLE_SEED=17` replays one and prints what happens in it. With
//! both, seeds from the second on are run.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use reveille::ledger::Ledger;

mod chance;
mod deliveries;
pub mod disk;
mod event;
mod found;
mod model;
mod occurrences;
mod run;
mod sink;
mod store;
mod walls;
mod world;

use run::Violation;
use world::Figures;

/// Seeds that `cargo test` runs.
const SEEDS: u64 = 300;

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

fn one(seed: u64, folder: &Path, empty: &Path, trail: bool) -> Result<Figures, Violation> {
    let ledger = folder.join(format!("{seed}.db"));
    std::fs::copy(empty, &ledger).unwrap();
    let outcome = runtime().block_on(run::run(seed, &ledger, trail));
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(folder.join(format!("{seed}.db{end}")));
    }
    outcome
}

/// Replays `seed` and says all that happened in it.
fn replay(seed: u64, folder: &Path, empty: &Path) {
    match one(seed, folder, empty, true) {
        Ok(figures) => println!("seed {seed}: as it must be; {figures:?}"),
        Err(Violation { what, trail }) => panic!(
            "seed {seed}: {what}\n\nWhat happened:\n{}\n\nTo see it again:\n  REVEILLE_SEED={seed} cargo test --test it simulation:: -- --nocapture",
            trail.join("\n")
        ),
    }
}

#[test]
fn random_days_ring_what_they_must_and_nothing_else() {
    let folder = folder();
    let empty = template(folder.path());
    let (seed, seeds) = (number("REVEILLE_SEED"), number("REVEILLE_SEEDS"));
    if let (Some(seed), None) = (seed, seeds) {
        return replay(seed, folder.path(), &empty);
    }
    let first = seed.unwrap_or_default();
    let last = first + seeds.unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let (sum, wrong) = (Mutex::new(Figures::default()), Mutex::new(None::<(u64, String)>));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !failed.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= last {
                        return;
                    }
                    match one(seed, folder.path(), &empty, false) {
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
        replay(seed, folder.path(), &empty);
        panic!("seed {seed} went wrong once and not again, so the simulation is not deterministic: {what}");
    }
    let sum = sum.into_inner().unwrap();
    println!("{} seeds in {:.1} s: {sum}", last - first, began.elapsed().as_secs_f64());
    assert!(sum.rings > 0 && sum.before_commit > 0 && sum.after_commit > 0, "{sum}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let folder = folder();
    let empty = template(folder.path());
    for seed in 0..20 {
        let figures = |_| one(seed, folder.path(), &empty, false).map_err(|wrong| wrong.what);
        let twice: Vec<_> = (0..2).map(figures).collect();
        assert_eq!(twice[0], twice[1], "seed {seed}");
    }
}

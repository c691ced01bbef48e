//! `reveille-bench mixed`: alarms fire steadily while calendars change.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::BenchContext;
use super::block_on;
use super::child::DaemonProcess;
use super::fill;
use super::server::CalendarServer;
use super::site::{Outlet, Site};
use super::synthetic::{Generator, file, uid};
use super::table::Figure;
use super::{counted, next_second, quantile};
use reveille::ledger;
use reveille::time::{UtcMillis, elapsed};

/// Files that are edited in turns.
const FILES: u64 = 1_000;
/// From the start of the daemon to the first alarm.
const LEAD: Duration = Duration::from_secs(6);
/// Edits are made so often, a few at a time.
const TICK: Duration = Duration::from_millis(20);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Alarms every second while files change: how late they are
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// For how long
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    pub(super) seconds: u32,
    /// Alarms that are due each second
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub(super) alarms: u32,
    /// Files that change each second
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    pub(super) changes: u32,
}

pub(super) fn measure(args: &Args, parent: &Path, context: &mut BenchContext) -> anyhow::Result<Vec<Figure>> {
    let (alarms, changes) = (u64::from(args.alarms), u64::from(args.changes));
    let run = format!("mixed: {} alarms and {} changes a second", counted(alarms), counted(changes));
    let site = Site::new(parent)?;
    let server = CalendarServer::start(&[])?;
    site.configure(&server.source(), Outlet::File)?;
    let (generator, total) = (Generator::new(6), alarms * u64::from(args.seconds));
    let edited = site.directory("edited")?;
    let tomorrow = context.clock.now().start_of_second().saturating_add(DAY);
    for n in total..total + FILES {
        fs::write(site.at("edited").join(file(n)), generator.due(n, tomorrow))?;
    }
    context.printer.note(format!("{run}: filling a ledger"));
    let due = fill::filling(&site, async |fill| {
        let now = context.clock.now();
        let estimate = fill.estimate(total, now, |n| generator.due(n, now)).await;
        let ahead = estimate.filling + estimate.planning.div_f64(f64::from(args.seconds.max(1))) + LEAD;
        let due = next_second(now.saturating_add(elapsed(ahead)));
        let text = |n: u64| generator.due(n, due.saturating_add(SignedDuration::from_secs((n / alarms.max(1)) as i64)));
        fill.take_in(0..total, now, text, context).await?;
        Ok(due)
    })?;
    site.configure(&format!("{}{edited}", server.source()), Outlet::File)?;
    let mut daemon = DaemonProcess::start(&site.config())?;
    daemon.wait(Duration::from_millis(20), || Ok(site.has_synced("edited")))?;
    let left = due.duration_since(context.clock.now());
    let millis = left.unsigned_abs().as_millis();
    anyhow::ensure!(
        left.is_positive(),
        "the ledger was filled only {millis} ms after its first alarms were due: take fewer"
    );
    context.printer.note(format!("{run}: the first are due in {millis} ms"));
    thread::sleep(left.unsigned_abs());
    let before = daemon.used();
    let editing = edit(&site, args, total, due);
    daemon.wait(Duration::from_millis(500), || Ok(editing.is_finished()))?;
    let (count, last) = editing.join().map_err(|_| anyhow::anyhow!("the edits stopped by themselves"))??;
    daemon.wait(Duration::from_millis(100), || {
        Ok(site.due_of(&uid(last.0))?.contains(&last.1) && site.lateness()?.len() as u64 >= total)
    })?;
    let (busy, lateness) = (daemon.used().cpu.saturating_sub(before.cpu), site.lateness()?);
    daemon.stop()?;
    let raw = raw_limit(&site, args)?;
    Ok(vec![
        Figure::new(&run, "lateness, p50", quantile(&lateness, 0.5), "ms").beside(quantile(&raw, 0.5)),
        Figure::new(&run, "lateness, p99", quantile(&lateness, 0.99), "ms").at_most(100.0).beside(quantile(&raw, 0.99)),
        Figure::new(&run, "lateness, most", quantile(&lateness, 1.0), "ms").beside(quantile(&raw, 1.0)),
        Figure::new(&run, "changes", count as f64 / f64::from(args.seconds.max(1)), "/s"),
        Figure::new(
            &run,
            "processor time of a second",
            busy.as_secs_f64() * 1_000.0 / f64::from(args.seconds.max(1)),
            "ms",
        ),
    ])
}

/// What a thread that edits files ends with: how many edits, and the last one: which object, and when its alarm fires.
type Edited = anyhow::Result<(u64, (u64, UtcMillis))>;

/// Changes files steadily, each time to another instant long after the run.
fn edit(site: &Site, args: &Args, first: u64, due: UtcMillis) -> JoinHandle<Edited> {
    let (folder, new) = (site.at("edited"), site.at("new"));
    let (wanted, whole) = (f64::from(args.changes), Duration::from_secs(args.seconds.into()));
    thread::spawn(move || {
        let (began, mut count, mut last) = (Instant::now(), 0_u64, (first, due.saturating_add(DAY)));
        while began.elapsed() < whole {
            while (count as f64) < began.elapsed().as_secs_f64() * wanted && began.elapsed() < whole {
                last = (first + count % FILES, due.saturating_add(2 * DAY + SignedDuration::from_secs(count as i64)));
                fs::write(&new, Generator::new(6).due(last.0, last.1))?;
                fs::rename(&new, folder.join(file(last.0)))?;
                count += 1;
            }
            thread::sleep(TICK);
        }
        Ok((count, last))
    })
}

/// How long the alarms of each second take when they are only written down and appended to a file, milliseconds,
/// ascending.
fn raw_limit(site: &Site, args: &Args) -> anyhow::Result<Vec<f64>> {
    let (text, batch) = (fs::read_to_string(site.alarms())?, args.alarms.max(1) as usize);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let written = block_on(async { Ok(ledger::raw::write(&site.at("raw.db"), &lines, batch).await?) })?;
    let file = fs::File::create(site.at("raw.jsonl"))?;
    let mut times = Vec::new();
    for (lines, written) in lines.chunks(batch).zip(written) {
        let (text, began) = (lines.join("\n"), Instant::now());
        std::io::Write::write_all(&mut &file, text.as_bytes())?;
        file.sync_data()?;
        times.push((written + began.elapsed()).as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

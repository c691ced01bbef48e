//! `reveille bench fire`: many alarms due in the same second.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::look::block_on;
use super::super::{Context, printer::Exit};
use super::child::{Daemon, Folder};
use super::quantile;
use crate::ledger::{self, Inspector};
use crate::time::UtcMillis;

/// How long the daemon may take to read the calendar, and then to fire.
const PATIENCE: Duration = Duration::from_secs(600);
/// Octets of a calendar read at a time per second, at the least: how long to allow for taking them in.
const TAKEN_IN_PER_SECOND: i64 = 2_000;

/// Fire many alarms that are due at once, and say how long that takes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many alarms are due at once
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    alarms: u32,
    /// Daily series that began ten years ago instead of single events
    #[arg(long)]
    series: bool,
    /// Where to work; a new folder is made there, and removed afterwards
    #[arg(long, default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

/// `bench fire --json`: one object. Times are milliseconds after the alarms were due.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    alarms: usize,
    /// Alarms that were durably delivered, per second from when they were due to the last one.
    per_second: f64,
    p50: i64,
    p99: i64,
    last: i64,
    /// The same octets through plain batched SQLite and a plain file, per second.
    raw_per_second: f64,
    ratio: f64,
    peak_memory: Option<u64>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    let folder = Folder::new(&args.folder)?;
    let count = i64::from(args.alarms);
    let now = context.clock.now();
    let due = UtcMillis((now.0 / 1_000 + 20 + count / TAKEN_IN_PER_SECOND) * 1_000);
    context.printer.note(format!("writing a calendar of {count} objects"));
    write_calendar(&folder.path().join("calendar"), count, due, args.series)?;
    let (config, ledger) = (folder.path().join("reveille.toml"), folder.path().join("ledger.db"));
    fs::write(&config, configuration(folder.path()))?;
    let mut daemon = Daemon::start(&config)?;
    daemon.wait(PATIENCE, || Ok(figures(&ledger)?.is_some_and(|figures| figures.armed >= count)))?;
    let left = due.0 - context.clock.now().0;
    anyhow::ensure!(left > 0, "the calendar was read only {} ms after its alarms were due: take fewer", -left);
    context.printer.note(format!("armed; due in {} s", left / 1_000));
    daemon.wait(PATIENCE, || Ok(block_on(delivered(&ledger))?.len() as i64 >= count))?;
    let peak_memory = daemon.peak_memory();
    let lateness = block_on(delivered(&ledger))?;
    daemon.stop()?;
    context.printer.note("measuring the raw limit");
    let raw = raw_limit(folder.path())?;
    report(context, &lateness, raw, peak_memory)
}

fn figures(ledger: &Path) -> anyhow::Result<Option<ledger::Figures>> {
    if !ledger.exists() {
        return Ok(None);
    }
    // The daemon may still be making it.
    Ok(block_on(async {
        let mut inspector = Inspector::open(ledger).await?;
        let figures = inspector.figures().await?;
        inspector.close().await?;
        Ok(figures)
    })
    .ok())
}

async fn delivered(ledger: &Path) -> anyhow::Result<Vec<i64>> {
    let mut inspector = Inspector::open(ledger).await?;
    let lateness = inspector.delivered().await?;
    inspector.close().await?;
    Ok(lateness)
}

fn report(context: &mut Context, lateness: &[i64], raw: Duration, peak_memory: Option<u64>) -> anyhow::Result<Exit> {
    let last = lateness.last().copied().unwrap_or_default().max(1);
    let per_second = lateness.len() as f64 * 1_000.0 / last as f64;
    let raw_per_second = lateness.len() as f64 / raw.as_secs_f64();
    let figures = Figures {
        alarms: lateness.len(),
        per_second,
        p50: quantile(lateness, 0.5),
        p99: quantile(lateness, 0.99),
        last,
        raw_per_second,
        ratio: per_second / raw_per_second,
        peak_memory,
    };
    if context.printer.json() {
        context.printer.object(&figures)?;
        return Ok(Exit::Done);
    }
    let memory = peak_memory.map_or("unknown".to_owned(), |octets| format!("{:.1} MiB", octets as f64 / 1_048_576.0));
    context.printer.fields(&[
        ("alarms", figures.alarms.to_string()),
        ("delivered", format!("{per_second:.0} a second")),
        ("lateness", format!("p50 {} ms, p99 {} ms, last {last} ms", figures.p50, figures.p99)),
        ("raw limit", format!("{raw_per_second:.0} a second (the same lines through batched SQLite and a file)")),
        ("ratio", format!("{:.2}", figures.ratio)),
        ("peak memory", memory),
    ])?;
    Ok(Exit::Done)
}

/// The lines that the daemon wrote, written again as plainly as durability allows.
fn raw_limit(folder: &Path) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(folder.join("alarms.jsonl"))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let began = Instant::now();
    block_on(async { Ok(ledger::raw::write(&folder.join("raw.db"), &lines, 2_500).await?) })?;
    let file = fs::File::create(folder.join("raw.jsonl"))?;
    std::io::Write::write_all(&mut &file, text.as_bytes())?;
    file.sync_data()?;
    Ok(began.elapsed())
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[ledger]\nurl = \"sqlite://{folder}/ledger.db\"\n\
         [[source]]\nkind = \"directory\"\npath = \"{folder}/calendar\"\nuser = \"bench\"\n\
         [[sink]]\nkind = \"file\"\npath = \"{folder}/alarms.jsonl\"\n"
    )
}

fn write_calendar(folder: &Path, count: i64, due: UtcMillis, series: bool) -> anyhow::Result<()> {
    const TEN_YEARS: i64 = 3_652 * 86_400_000;
    fs::create_dir_all(folder)?;
    let (start, rule) = if series { (due.plus(-TEN_YEARS), "RRULE:FREQ=DAILY\r\n") } else { (due, "") };
    for n in 0..count {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//reveille//bench//EN\r\nBEGIN:VEVENT\r\nUID:{n}@bench.example.org\r\n\
             DTSTAMP:20260101T000000Z\r\nDTSTART:{}\r\nDURATION:PT30M\r\n{rule}SUMMARY:Meeting {n}\r\n\
             LOCATION:Room {}\r\nDESCRIPTION:What there is to talk about\\, and who brings the cake\r\nBEGIN:VALARM\r\n\
             ACTION:DISPLAY\r\nTRIGGER:PT0S\r\nDESCRIPTION:Reminder\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            start.basic(),
            n % 40
        );
        fs::write(folder.join(format!("{n}.ics")), text)?;
    }
    Ok(())
}

//! `reveille preview`: which alarms would fire, without a ledger and without a network.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::common::sink_context;
use super::ics_input::{self, InputCalendar, Whose};
use super::printer::{Cell, ExitStatus, Printer, Table};
use super::{Context, Usage, instant};
use crate::calendar::schedule::Schedule;
use crate::calendar::schedule::alarm_instance::{AlarmInstance, fire_as_one};
use crate::calendar::zone::{Zone, Zones};
use crate::calendar_info::CalendarInfo;
use crate::config::{Config, Overrides};
use crate::delivery::sink::email::{self, known_locale};
use crate::delivery::sink::{Reader, Readers};
use crate::firing;
use crate::notification::{About, Notification, identity};
use crate::time::UtcMillis;

/// Without `--until`: so far ahead.
const WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// An object is asked for so much of the window at once.
const SLICE: SignedDuration = SignedDuration::from_hours(7 * 24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Folders deeper than this are not searched.
const MAX_DEPTH: usize = 16;

/// List the alarms that these .ics files or folders would fire, in order
///
/// With --json each line is the CalendarAlarm object that `run` would emit. An alarm that `run` fires once is listed
/// once. Faults in a file are reported on standard error, with their line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, folders with .ics files in them, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// List alarms from this instant on, such as 2026-03-10T12:00:00Z [default: now]
    #[arg(long, value_name = "T", value_parser = instant)]
    from: Option<UtcMillis>,
    /// List alarms before this instant [default: 30 days after --from]
    #[arg(long, value_name = "T", value_parser = instant)]
    until: Option<UtcMillis>,
    /// The user's zone, for floating times and dates, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// An address of the user: alarms of events that it has declined do not fire (may be repeated; the first one is
    /// userId)
    #[arg(long, value_name = "ADDR")]
    user: Vec<String>,
    /// Write the mail of the first of these alarms into FILE.eml, and its HTML part into FILE.html
    ///
    /// It is the mail that the first sink of the kind email would send, or one with the built-in templates. Nothing is
    /// sent.
    #[arg(long, value_name = "FILE")]
    mail: Option<PathBuf>,
    /// With --mail: the locale of the reader, such as de [default: that of the user]
    #[arg(long, value_name = "LOCALE", requires = "mail", value_parser = known_locale)]
    locale: Option<String>,
    /// With --mail: as if the mail were sent at this instant [default: when the alarm is due]
    #[arg(long, value_name = "T", requires = "mail", value_parser = instant)]
    sent: Option<UtcMillis>,
    /// Print at most this many alarms
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    limit: usize,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let config = context.config(&Overrides::default())?;
    let zones = Zones::load(&config.zoneinfo)?;
    if let Some(id) = args.zone.as_deref().filter(|id| zones.resolve(id, None, None).is_none()) {
        return Err(Usage(format!("--zone '{id}' is not a known time zone: name one as in Europe/Berlin")).into());
    }
    let from = args.from.unwrap_or_else(|| context.clock.now());
    let until = args.until.unwrap_or(from.saturating_add(WINDOW));
    let mut preview = Preview {
        args,
        config: &config,
        zones,
        from,
        until,
        rows: Vec::new(),
        identities: HashSet::new(),
        readable: 0,
        cut: false,
    };
    for path in &args.paths {
        preview.path(path, &mut context.printer);
    }
    if let Some(file) = &args.mail {
        return preview.write_mail(file, context);
    }
    preview.print(&mut context.printer)?;
    Ok(if preview.readable > 0 { ExitStatus::Success } else { ExitStatus::Failure })
}

/// An alarm as it is printed.
struct Row {
    at: UtcMillis,
    /// The ledger holds each identity once (rule 21).
    identity: [u8; 16],
    text: Text,
}

enum Text {
    Json(String),
    Cells([String; 4]),
}

struct Preview<'a> {
    args: &'a Args,
    config: &'a Config,
    zones: Zones,
    from: UtcMillis,
    until: UtcMillis,
    rows: Vec<Row>,
    /// Those of the rows.
    identities: HashSet<[u8; 16]>,
    /// Objects that could be read.
    readable: usize,
    /// There are more rows than `--limit` allows.
    cut: bool,
}

impl Preview<'_> {
    fn path(&mut self, path: &Path, printer: &mut Printer) {
        if path == Path::new("-") {
            return self.file(None, None, printer);
        }
        if !path.is_dir() {
            return self.file(Some(path), None, printer);
        }
        let mut files = Vec::new();
        list(path, 0, &mut files, printer);
        if files.is_empty() {
            printer.error(format!("{} holds no .ics files", path.display()));
        }
        for file in files {
            self.file(Some(&file), Some(path), printer);
        }
    }

    /// The file at `path`, found below `root`; without a path standard input.
    fn file(&mut self, path: Option<&Path>, root: Option<&Path>, printer: &mut Printer) {
        let octets = match path {
            Some(path) => ics_input::read(path, self.config),
            None => ics_input::standard_input(self.config),
        };
        let octets = match octets {
            Ok(octets) => octets,
            Err(error) => return printer.error(error),
        };
        let name = path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
        let whose = Whose { users: &self.args.user, zone: self.args.zone.as_deref() };
        let InputCalendar { info, .. } = ics_input::calendar(path, root, self.config, whose);
        self.object(&name, &octets, &info, printer);
    }

    fn object(&mut self, name: &str, octets: &[u8], seen: &CalendarInfo, printer: &mut Printer) {
        let calendar_context = firing::context(seen, self.zones.clone(), self.config.limits.objects);
        let read = Schedule::of_text(octets, &calendar_context, None, |_, schedule| {
            self.readable += 1;
            for fault in schedule.faults() {
                printer.note(format!("{name}:{}: {}", fault.line, fault.text));
            }
            let (json, about) = (printer.json() || self.args.mail.is_some(), firing::about(seen));
            // As the folder's source calls it.
            let href = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
            self.instances(schedule, |preview, instance| preview.row(instance, &about, &href, json));
            if let Some(hour) = self.crowded_hour(schedule) {
                let most = calendar_context.limits.max_alarms_per_hour;
                printer
                    .note(format!("{name}: more than {most} alarms in the hour of {hour}: only the first {most} fire"));
            }
        });
        if let Err(error) = read {
            printer.error(format!("{name} is not read: {error}"));
        }
    }

    /// Collects the instances of one object, a slice of the window at a time, each once.
    fn instances(&mut self, schedule: &Schedule<'_>, row: impl Fn(&Self, &AlarmInstance<'_>) -> Row) {
        let (mut from, mut count) = (self.from, 0);
        while let Some(next) = schedule.next_instance(from).filter(|next| *next < self.until) {
            let end = next.saturating_add(SLICE).min(self.until);
            for instance in fire_as_one(schedule.instances(next..end)) {
                count += 1;
                if count > self.args.limit {
                    self.cut = true;
                    return self.keep_limit();
                }
                let row = row(self, &instance);
                if self.identities.insert(row.identity) {
                    self.rows.push(row);
                }
            }
            from = end;
        }
        self.keep_limit();
    }

    /// Puts the rows in order, and drops those that will not be printed.
    fn keep_limit(&mut self) {
        if self.rows.len() > self.args.limit {
            self.rows.sort_by_key(|row| row.at);
            for dropped in self.rows.drain(self.args.limit..) {
                self.identities.remove(&dropped.identity);
            }
            self.cut = true;
        }
    }

    /// The hour of the first instance in the window, if `schedule` suppresses instances in it.
    fn crowded_hour(&self, schedule: &Schedule<'_>) -> Option<UtcMillis> {
        let first = schedule.next_instance(self.from).filter(|next| *next < self.until)?;
        let hour = first.start_of_hour();
        (schedule.suppressed(first..hour.saturating_add(HOUR).min(self.until)) > 0).then_some(hour)
    }

    fn row(&self, instance: &AlarmInstance<'_>, about: &About, href: &str, json: bool) -> Row {
        let identity = identity(about, href, instance);
        let text = if json {
            let sender = firing::sender(self.config);
            let notification = Notification::new(instance, about, identity, &sender, instance.at);
            Text::Json(notification.to_json_within(sender.max_size))
        } else {
            let own = self.args.zone.as_deref().and_then(|id| self.zones.resolve(id, None, None));
            let summary = instance.component.summary.to_string();
            Text::Cells([
                local(instance.at, own.as_ref().unwrap_or(&instance.zone)),
                instance.action.to_string(),
                summary,
                about.name.clone(),
            ])
        };
        Row { at: instance.at, identity, text }
    }

    /// Writes the mail of the first alarm into `file`.
    fn write_mail(&mut self, file: &Path, context: &mut Context) -> anyhow::Result<ExitStatus> {
        self.rows.sort_by_key(|row| row.at);
        let Some(Row { at, text: Text::Json(json), .. }) = self.rows.first() else {
            context.printer.error("there is no alarm to write a mail of");
            return Ok(ExitStatus::Failure);
        };
        let mut sinks = self.config.sinks.iter().map(|sink| &*sink.settings);
        let sink = sinks.find(|settings| settings.kind() == "email");
        let mut sink_context = sink_context(self.config, &context.clock)?;
        sink_context.readers = self.readers(sink_context.readers);
        let recipient = self.args.user.first().map_or("user@example.org", |user| user.as_str());
        let mail = email::preview(sink, &sink_context, json, recipient, self.args.sent.unwrap_or(*at))?;
        let (message, html) = (file.with_extension("eml"), file.with_extension("html"));
        for (path, octets) in [(&message, mail.message.as_slice()), (&html, mail.html.as_bytes())] {
            fs::write(path, octets).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            context.printer.note(format!("wrote {}", path.display()));
        }
        Ok(ExitStatus::Success)
    }

    /// How everybody reads: as the command line says, else as `configured`.
    fn readers(&self, configured: Readers) -> Readers {
        let user = self.args.user.first().map(String::as_str).unwrap_or_default();
        let Reader { zone, locale } = configured.get(user);
        let zone = self.args.zone.clone().or(zone);
        Readers::new(HashMap::new(), Reader { zone, locale: self.args.locale.clone().or(locale) })
    }

    fn print(&mut self, printer: &mut Printer) -> anyhow::Result<()> {
        self.rows.sort_by_key(|row| row.at);
        let mut table = Table::new(&["TIME", "ACTION", "SUMMARY", "CALENDAR"]);
        for row in self.rows.drain(..) {
            match row.text {
                Text::Json(line) => {
                    printer.raw(line.as_bytes())?;
                    printer.raw(b"\n")?;
                }
                Text::Cells(cells) => table.row(cells.map(Cell::plain)),
            }
        }
        if !printer.json() && self.readable > 0 {
            printer.table(&table)?;
        }
        if self.cut {
            let limit = self.args.limit;
            printer.note(format!("there are more; --limit {limit} keeps the first {limit}"));
        }
        Ok(())
    }
}

/// `Tue 2026-03-10 09:15 Europe/Berlin`
fn local(at: UtcMillis, zone: &Zone) -> String {
    let civil = zone.civil(at);
    let seconds = if civil.second() == 0 { "" } else { ":%S" };
    format!("{} {}", civil.strftime(&format!("%a %Y-%m-%d %H:%M{seconds}")), zone.id())
}

/// The `.ics` files in and below a folder, in the order of their names. Hidden entries are left out, and so is what is
/// not a file: a pipe would be waited for.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, printer: &mut Printer) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return printer.error(format!("{} cannot be read: {error}", folder.display())),
    };
    let mut entries: Vec<fs::DirEntry> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // A link to a folder is not followed: it may lead back here.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < MAX_DEPTH {
                list(&path, depth + 1, files, printer);
            }
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(OsStr::new("ics")))
            && fs::metadata(&path).is_ok_and(|metadata| metadata.is_file())
        {
            files.push(path);
        }
    }
}

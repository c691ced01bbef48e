//! What a store says of a calendar as a whole: its name, colour and zone, and that it is one. What cannot be read whole
//! is not believed; what was known before holds until it can.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;

use super::name;
use super::open_folder::OpenFolder;
use crate::source::contract::Known;
use crate::time::UtcMillis;

const RADICALE: &str = ".Radicale.props";
const XANDIKOS: &str = ".xandikos";
const DISPLAYNAME: &str = "displayname";
const COLOR: &str = "color";

/// So long what a store no longer says of a calendar holds.
const GRACE: SignedDuration = SignedDuration::from_mins(15);

/// What is known of a calendar besides what lies in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    /// None: it is called as its folder is.
    pub name: Option<String>,
    pub color: String,
    pub zone: Option<String>,
    /// It has Radicale's file: every file in it is an object, whatever it is called, and the folder above is its
    /// owner's.
    pub is_radicale: bool,
}

/// What the files of a folder say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StatedProperties {
    Calendar(Properties),
    /// It is something else: an address book.
    Other,
    /// A file is empty, half written or cannot be read: the reason, and what is known nevertheless.
    Unclear(String, Properties),
}

/// What was found, and a sentence if not all of it could be read, or is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WithFault<T> {
    pub found: T,
    pub fault: Option<String>,
}

/// What is known of folders, by their hrefs.
#[derive(Debug, Default)]
pub(super) struct FolderMemory(Mutex<BTreeMap<String, Remembered>>);

/// What is known of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    pub properties: Properties,
    /// Since when its files say less than that.
    pub silent_since: Option<UtcMillis>,
    /// The last scan did not find it.
    pub is_absent: bool,
    /// It is what the ledger has of it: this process has not read its files yet.
    pub is_recorded: bool,
}

impl FolderMemory {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, href: &str) -> Option<Remembered> {
        self.lock().get(href).cloned()
    }

    /// Takes over what the ledger has of calendars that this process has not read.
    pub(super) fn remember(&self, known: &[Known]) {
        let mut memory = self.lock();
        for Known { href, seen, absent_since, .. } in known {
            let properties = Properties {
                name: (seen.name != name::shown(&name::octets(&seen.id))).then(|| seen.name.clone()),
                color: seen.color.clone(),
                zone: seen.zone.clone(),
                is_radicale: false,
            };
            let recorded =
                Remembered { properties, is_absent: absent_since.is_some(), is_recorded: true, silent_since: None };
            memory.entry(href.clone()).or_insert(recorded);
        }
    }

    /// Notes whether a scan found the calendar `href`.
    pub(super) fn found(&self, href: &str, is_there: bool) {
        if let Some(remembered) = self.lock().get_mut(href) {
            remembered.is_absent = !is_there;
        }
    }

    /// Whether the path that `href` stands for is a calendar's, or one of the folders above it.
    pub(super) fn leads_to_a_calendar(&self, href: &str) -> bool {
        let memory = self.lock();
        let below = format!("{href}/");
        let path = name::octets(href);
        let is_below = |other: &String| Path::new(&name::octets(other)).starts_with(&path);
        memory.contains_key(href)
            || memory
                .range(below.clone()..)
                .map(|(other, _)| other)
                .take_while(|other| other.starts_with(&below))
                .any(is_below)
    }
}

/// Whether a file of this name says something of its calendar as a whole.
pub(super) fn is_properties(name: &OsStr) -> bool {
    [RADICALE, XANDIKOS, DISPLAYNAME, COLOR].iter().any(|known| name == *known)
}

/// Whether a file of this name makes its folder a calendar.
pub(super) fn makes_calendar(name: &OsStr) -> bool {
    name == RADICALE || name == XANDIKOS
}

impl StatedProperties {
    /// Reads the files of the folder at `path`, which is open as `place`. A file of more than `max_size` octets is not
    /// read.
    pub(super) fn read(place: &OpenFolder, path: &Path, max_size: usize) -> StatedProperties {
        let text = |name: &str| match place.read(path, OsStr::new(name), max_size) {
            Ok(content) => Ok(content.map(|content| String::from_utf8_lossy(&content.octets).into_owned())),
            Err(reason) => Err(format!("{}: {reason}", path.join(name).display())),
        };
        let unfinished = |name: &str| format!("{}: it is empty or only half written", path.join(name).display());
        match text(RADICALE) {
            Ok(Some(text)) => radicale(&text)
                .unwrap_or_else(|| StatedProperties::Unclear(unfinished(RADICALE), Properties::radicale())),
            Err(reason) => StatedProperties::Unclear(reason, Properties::radicale()),
            Ok(None) => files(&text, &unfinished),
        }
    }
}

impl Properties {
    fn radicale() -> Properties {
        Properties { is_radicale: true, ..Properties::default() }
    }
}

/// What Radicale's file says; none where it is not whole.
fn radicale(text: &str) -> Option<StatedProperties> {
    let Ok(serde_json::Value::Object(props)) = serde_json::from_str(text) else { return None };
    let get = |key: &str| props.get(key).and_then(|v| v.as_str()).map(str::trim).filter(|v| !v.is_empty());
    if get("tag").is_some_and(|tag| tag != "VCALENDAR") {
        return Some(StatedProperties::Other);
    }
    Some(StatedProperties::Calendar(Properties {
        name: get("D:displayname").map(str::to_owned),
        color: get("ICAL:calendar-color").unwrap_or_default().to_owned(),
        zone: get("C:calendar-timezone-id").or(get("C:calendar-timezone")).map(str::to_owned),
        is_radicale: true,
    }))
}

/// What a vdir's files `displayname` and `color`, or Xandikos' settings, say.
fn files(
    text: &dyn Fn(&str) -> Result<Option<String>, String>,
    unfinished: &dyn Fn(&str) -> String,
) -> StatedProperties {
    let mut unclear = None;
    let mut file = |name: &str, is_whole: fn(&str) -> bool| match text(name) {
        Ok(Some(text)) if is_whole(&text) => Some(text),
        Ok(Some(_)) => {
            unclear.get_or_insert(unfinished(name));
            None
        }
        Ok(None) => None,
        Err(reason) => {
            unclear.get_or_insert(reason);
            None
        }
    };
    // Written line by line.
    let settings = file(XANDIKOS, |text| text.ends_with('\n')).unwrap_or_default();
    let filled = |text: &str| !text.trim().is_empty();
    let (name, color) = (file(DISPLAYNAME, filled), file(COLOR, filled));
    let setting = |key: &str| {
        settings.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    let trimmed = |text: String| text.trim().to_owned();
    let properties = Properties {
        name: name.map(trimmed).or_else(|| setting("displayname")).filter(|name| !name.is_empty()),
        color: color.map(trimmed).or_else(|| setting("color")).unwrap_or_default(),
        zone: None,
        is_radicale: false,
    };
    match unclear {
        Some(reason) => StatedProperties::Unclear(reason, properties),
        None => StatedProperties::Calendar(properties),
    }
}

/// What holds of a folder at `path` whose files say `said` at the instant `now`, and of which `known` was known; none
/// where it is no calendar.
pub(super) fn settle(
    said: StatedProperties,
    known: Option<&Remembered>,
    path: &Path,
    now: UtcMillis,
) -> WithFault<Option<Remembered>> {
    let whole = |properties| Remembered { properties, ..Remembered::default() };
    let believed = |found| WithFault { found, fault: None };
    match (said, known) {
        (StatedProperties::Other, _) => believed(None),
        (
            StatedProperties::Calendar(new),
            Some(Remembered { properties: old, silent_since, is_recorded: false, .. }),
        ) if says_less(&new, old) => {
            let since = silent_since.unwrap_or(now);
            if now.duration_since(since) >= GRACE {
                return believed(Some(whole(new)));
            }
            let fault = format!(
                "{}: it no longer says how its calendar is called or whose it is; what was known of that holds for 15 min",
                path.display()
            );
            let found = Remembered { silent_since: Some(since), ..kept(new, old) };
            WithFault { found: Some(found), fault: Some(fault) }
        }
        (StatedProperties::Calendar(new), _) => believed(Some(whole(new))),
        (StatedProperties::Unclear(reason, new), Some(Remembered { properties: old, .. })) => {
            let kept = kept(new.clone(), old);
            // An empty file that takes nothing away is none to worry about.
            let fault = (kept.properties != new || new.is_radicale).then(|| {
                format!("{reason}; the calendar's known alarms stay scheduled: rewrite the file, or remove it")
            });
            WithFault { found: Some(kept), fault }
        }
        (StatedProperties::Unclear(reason, new), None) => {
            let fault = new
                .is_radicale
                .then(|| format!("{reason}; its calendar has no name and no zone until the file is written again"));
            WithFault { found: Some(whole(new)), fault }
        }
    }
}

/// Whether files are missing that said what is in `old`.
fn says_less(new: &Properties, old: &Properties) -> bool {
    !new.is_radicale && (old.is_radicale || (old.name.is_some() && new.name.is_none()))
}

/// What was known, and of `new` what was not.
fn kept(new: Properties, old: &Properties) -> Remembered {
    let properties = match old.is_radicale || new.is_radicale {
        true => Properties { is_radicale: true, ..old.clone() },
        false => Properties {
            name: new.name.or_else(|| old.name.clone()),
            color: if new.color.is_empty() { old.color.clone() } else { new.color },
            zone: old.zone.clone(),
            is_radicale: false,
        },
    };
    Remembered { properties, ..Remembered::default() }
}

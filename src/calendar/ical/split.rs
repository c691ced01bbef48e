//! Taking an iCalendar text of many events apart: one text for each UID, as a CalDAV server would have it, and what the
//! text says of the calendar as a whole. Each has a digest of what it says, which stays the same when a program writes
//! it again in another order and with other time stamps. What the properties mean for alarms is not known here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::component::is_top_level;
use super::line::{self, ContentLine, Lines, NumberedLine};
use super::object::ParseError;
use super::parser::foreign_encoding;
use super::value::{Duration, unescape};
use crate::text::hex;

/// Components inside each other that are told apart; what is deeper counts as content of the one around it.
const DEEPEST: usize = 64;

/// Properties of a VCALENDAR that each of its objects is read with. They are repeated in the text of each.
const HEAD: [&str; 4] = ["VERSION", "CALSCALE", "METHOD", "X-WR-TIMEZONE"];

/// Properties that a program writes anew each time it writes the same event: when, and how often.
const STAMPS: [&str; 5] = ["DTSTAMP", "CREATED", "LAST-MODIFIED", "SEQUENCE", "X-MICROSOFT-CDO-APPT-SEQUENCE"];

type Hash = [u8; 32];

/// What a text says of the calendar as a whole; of several statements the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedCalendar {
    /// X-WR-CALNAME, else NAME (RFC 7986, 5.1).
    pub name: Option<String>,
    /// X-WR-TIMEZONE.
    pub zone: Option<String>,
    /// COLOR (RFC 7986, 5.9), else X-APPLE-CALENDAR-COLOR.
    pub color: Option<String>,
    /// REFRESH-INTERVAL (RFC 7986, 5.7), else X-PUBLISHED-TTL: how often it should be asked for again.
    pub refresh: Option<Duration>,
}

/// An iCalendar text, taken apart.
#[derive(Debug)]
pub struct SplitCalendar {
    /// Unfolded, its lines ended by LF.
    text: String,
    calendars: Vec<CalendarParts>,
    /// What it says of the calendar as a whole.
    pub stated: StatedCalendar,
    /// In the order of their names.
    pub objects: Vec<SplitObject>,
    /// The text ends with the end of a VCALENDAR: nothing was cut off.
    pub is_whole: bool,
}

/// The components of a text that have one UID.
#[derive(Debug)]
pub struct SplitObject {
    /// The UID; of a component without one, which is an object by itself, `None`.
    pub uid: Option<String>,
    /// What tells it from the others: the UID, or a digest of what the component says.
    pub name: String,
    /// A digest of what it says. The order of components and properties, folding, and when it was written are not part
    /// of it.
    pub digest: String,
    parts: Vec<ObjectPart>,
}

/// What an object has in one VCALENDAR.
#[derive(Debug)]
struct ObjectPart {
    calendar: usize,
    components: Vec<Range<usize>>,
    /// Which of the [`CalendarParts::zones`] they use.
    zones: BTreeSet<usize>,
}

/// What of a VCALENDAR its objects share.
#[derive(Debug, Default)]
struct CalendarParts {
    /// Lines.
    head: String,
    zones: Vec<ZonePart>,
}

/// A VTIMEZONE.
#[derive(Debug)]
struct ZonePart {
    range: Range<usize>,
    hash: Hash,
}

/// Takes `octets` apart. Takes time and memory in proportion to their length.
///
/// # Errors
/// If this is not iCalendar text at all.
pub fn split(octets: &[u8]) -> Result<SplitCalendar, ParseError> {
    if let Some(encoding) = foreign_encoding(octets) {
        return Err(ParseError::Encoding(encoding));
    }
    let lines = Lines::unfold(octets);
    let mut splitter = Splitter::default();
    let mut at = 0;
    for NumberedLine { text, .. } in lines.iter() {
        let end = at + text.len();
        splitter.line(text, at..end);
        at = end + 1;
    }
    splitter.finish(lines.into_text())
}

impl SplitCalendar {
    /// The text of `object`, which is one of these: a VCALENDAR with its components and the time zones that they use.
    pub fn text_of(&self, object: &SplitObject) -> Vec<u8> {
        let mut text = String::with_capacity(self.size_of(object));
        for ObjectPart { calendar, components, zones } in &object.parts {
            let Some(of) = self.calendars.get(*calendar) else { continue };
            text.push_str("BEGIN:VCALENDAR\n");
            text.push_str(&of.head);
            let zones = zones.iter().filter_map(|zone| of.zones.get(*zone)).map(|zone| &zone.range);
            for range in zones.chain(components) {
                text.push_str(self.text.get(range.clone()).unwrap_or_default());
                text.push('\n');
            }
            text.push_str("END:VCALENDAR\n");
        }
        text.into_bytes()
    }

    /// The octets of [`SplitCalendar::text_of`]. All objects together may have many times as many as the text that they
    /// come from, for each repeats its time zones.
    pub fn size_of(&self, object: &SplitObject) -> usize {
        let part = |part: &ObjectPart| {
            let of = self.calendars.get(part.calendar);
            let zones = part.zones.iter().filter_map(|zone| of?.zones.get(*zone)).map(|zone| &zone.range);
            let ranges: usize = zones.chain(&part.components).map(|range| range.len() + 1).sum();
            ranges + of.map_or(0, |of| of.head.len()) + "BEGIN:VCALENDAR\nEND:VCALENDAR\n".len()
        };
        object.parts.iter().map(part).sum()
    }
}

/// Goes through the lines of a text. Only what is directly in a VCALENDAR counts: what is nested deeper ends with it.
#[derive(Debug, Default)]
struct Splitter {
    calendars: Vec<CalendarParts>,
    stated: StatedCalendar,
    second: StatedCalendar,
    in_calendar: bool,
    open: Option<OpenPart>,
    /// The TZIDs that each calendar defines; the first definition counts.
    tzids: HashMap<(usize, String), usize>,
    components: Vec<SplitComponent>,
}

/// A component of a VCALENDAR in reading.
#[derive(Debug)]
struct OpenPart {
    /// VEVENT, VTODO, VTIMEZONE, or any other.
    name: String,
    range: Range<usize>,
    /// Hashes of its lines and of the components in it, by the component around them.
    hashes: Vec<NestedHashes>,
    uid: Option<String>,
    tzids: HashSet<String>,
    /// Its DTSTART or DUE is in no zone of its own.
    is_floating: bool,
    /// Its RECURRENCE-ID.
    recurrence: Option<Hash>,
    /// Its SEQUENCE, which tells which of two is newer.
    sequence: Option<Hash>,
}

#[derive(Debug)]
struct NestedHashes {
    name: String,
    hashes: Vec<Hash>,
}

/// A component of a VCALENDAR.
#[derive(Debug)]
struct SplitComponent {
    calendar: usize,
    /// VEVENT or VTODO, and the RECURRENCE-ID.
    key: (String, Option<Hash>),
    uid: Option<String>,
    range: Range<usize>,
    tzids: HashSet<String>,
    /// Which of the [`CalendarParts::zones`] these are.
    zones: BTreeSet<usize>,
    hash: Hash,
    sequence: Option<Hash>,
}

impl Splitter {
    /// Takes in a line, which is at `range` of the text.
    fn line(&mut self, text: &str, range: Range<usize>) {
        let Some(name) = line::name(text).map(str::to_ascii_uppercase) else {
            return self.content("", text, &range);
        };
        let value = || text.split_once(':').map_or("", |(_, value)| value).trim().to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => self.begin(value(), text, range),
            "END" => self.end(&value(), text, &range),
            name => self.content(name, text, &range),
        }
    }

    fn begin(&mut self, name: String, text: &str, range: Range<usize>) {
        if name == "VCALENDAR" {
            self.close();
            self.calendars.push(CalendarParts::default());
            self.in_calendar = true;
        } else if is_top_level(&name) || (self.in_calendar && self.open.is_none()) {
            // One whose END is missing ends here.
            self.close();
            if self.in_calendar {
                self.open = Some(OpenPart::new(name, range));
            }
        } else if let Some(open) = self.open.as_mut().filter(|open| open.hashes.len() < DEEPEST) {
            open.range.end = range.end;
            open.hashes.push(NestedHashes { name, hashes: Vec::new() });
        } else {
            self.content("BEGIN", text, &range);
        }
    }

    fn end(&mut self, name: &str, text: &str, range: &Range<usize>) {
        if name == "VCALENDAR" {
            self.close();
            self.in_calendar = false;
            return;
        }
        let Some(open) = &mut self.open else { return };
        open.range.end = range.end;
        if open.name == name {
            self.close();
        } else if open.hashes.iter().skip(1).any(|nested| nested.name == name) {
            while open.end_nested().is_some_and(|ended| ended != name) {}
        } else {
            open.add(hash_of_line("END", text));
        }
    }

    /// A property, or what is none.
    fn content(&mut self, name: &str, text: &str, range: &Range<usize>) {
        if let Some(open) = &mut self.open {
            open.range.end = range.end;
            open.content(name, text);
        } else if self.in_calendar {
            self.state(name, text);
        }
    }

    /// A property of a VCALENDAR.
    fn state(&mut self, name: &str, text: &str) {
        if let Some(calendar) = self.calendars.last_mut().filter(|_| HEAD.contains(&name)) {
            calendar.head.push_str(text);
            calendar.head.push('\n');
        }
        let Some(line) = ContentLine::parse(text).filter(|line| !line.value.trim().is_empty()) else { return };
        let text = || Some(line.text().trim().to_owned());
        let refresh = || Duration::parse(line.value).ok();
        let (first, second) = (&mut self.stated, &mut self.second);
        match name {
            "X-WR-CALNAME" => first.name = first.name.take().or_else(text),
            "NAME" => second.name = second.name.take().or_else(text),
            "X-WR-TIMEZONE" => first.zone = first.zone.take().or_else(text),
            "COLOR" => first.color = first.color.take().or_else(text),
            "X-APPLE-CALENDAR-COLOR" => second.color = second.color.take().or_else(text),
            "REFRESH-INTERVAL" => first.refresh = first.refresh.or_else(refresh),
            "X-PUBLISHED-TTL" => second.refresh = second.refresh.or_else(refresh),
            _ => {}
        }
    }

    /// Ends the component that is open.
    fn close(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        while open.end_nested().is_some() {}
        let hash = open.hash();
        let Some(calendar) = self.calendars.len().checked_sub(1) else { return };
        match open.name.as_str() {
            "VTIMEZONE" => {
                let Some(parts) = self.calendars.last_mut() else { return };
                for tzid in open.tzids {
                    self.tzids.entry((calendar, tzid)).or_insert(parts.zones.len());
                }
                parts.zones.push(ZonePart { range: open.range, hash });
            }
            "VEVENT" | "VTODO" => {
                let OpenPart { name, range, uid, mut tzids, recurrence, sequence, .. } = open;
                if open.is_floating {
                    tzids.extend(self.stated.zone.clone());
                }
                let key = (name, recurrence);
                self.components.push(SplitComponent {
                    calendar,
                    key,
                    uid,
                    range,
                    tzids,
                    zones: BTreeSet::new(),
                    hash,
                    sequence,
                });
            }
            _ => {}
        }
    }

    fn finish(mut self, text: String) -> Result<SplitCalendar, ParseError> {
        if self.calendars.is_empty() {
            return Err(ParseError::NoCalendar);
        }
        let is_whole = !self.in_calendar;
        self.close();
        let StatedCalendar { name, zone, color, refresh } = self.stated;
        let stated = StatedCalendar {
            name: name.or(self.second.name),
            zone,
            color: color.or(self.second.color),
            refresh: refresh.or(self.second.refresh),
        };
        let mut grouped: BTreeMap<(bool, String), Vec<SplitComponent>> = BTreeMap::new();
        for mut component in self.components {
            // A definition may come after what uses it.
            let zone = |tzid| self.tzids.get(&(component.calendar, tzid)).copied();
            component.zones = std::mem::take(&mut component.tzids).into_iter().filter_map(zone).collect();
            let key = match &component.uid {
                Some(uid) => (true, uid.clone()),
                None => (false, hex(component.hash.iter().take(16))),
            };
            grouped.entry(key).or_default().push(component);
        }
        let heads: Vec<Hash> = self.calendars.iter().map(|of| hash_of_line("", &of.head)).collect();
        let object = |((is_named, name), components): ((bool, String), Vec<SplitComponent>)| {
            let uid = is_named.then(|| name.clone());
            let digest = digest(&components, &self.calendars, &heads);
            SplitObject { uid, name, digest, parts: parts(components) }
        };
        let objects = grouped.into_iter().map(object).collect();
        Ok(SplitCalendar { text, calendars: self.calendars, stated, objects, is_whole })
    }
}

impl OpenPart {
    fn new(name: String, range: Range<usize>) -> OpenPart {
        OpenPart {
            hashes: vec![NestedHashes { name: name.clone(), hashes: Vec::new() }],
            name,
            range,
            uid: None,
            tzids: HashSet::new(),
            is_floating: false,
            recurrence: None,
            sequence: None,
        }
    }

    fn content(&mut self, name: &str, text: &str) {
        let is_own = self.hashes.len() == 1;
        match name {
            "UID" if is_own && self.uid.is_none() && self.name != "VTIMEZONE" => {
                let uid = ContentLine::parse(text).map(|line| line.value.to_owned());
                self.uid = uid.filter(|uid| !uid.is_empty());
            }
            "TZID" if is_own && self.name == "VTIMEZONE" => {
                let tzid = ContentLine::parse(text).map(|line| unescape(line.value.trim()).into_owned());
                self.tzids.extend(tzid);
            }
            "RECURRENCE-ID" if is_own => self.recurrence = Some(hash_of_line(name, text)),
            "DTSTART" | "DUE" if is_own => {
                self.is_floating |= !mentions_zone(text) && !text.trim_end().ends_with(['Z', 'z'])
            }
            "SEQUENCE" if is_own => self.sequence = Some(hash_of_line(name, text)),
            _ => {}
        }
        if self.name != "VTIMEZONE" && mentions_zone(text) {
            // Where a colon in the parameters is not in quotes, the name ends elsewhere than it seems to.
            let strict = ContentLine::parse(text);
            let tzid = strict.as_ref().and_then(|line| line.parameter("TZID"));
            self.tzids.extend(tzid.map(|tzid| unescape(tzid.trim()).into_owned()));
            let late = ContentLine::parse_from_the_end(text, |value| value.starts_with(|c: char| c.is_ascii_digit()));
            let tzid = late.as_ref().and_then(|line| line.parameter("TZID"));
            self.tzids.extend(tzid.map(|tzid| unescape(tzid.trim()).into_owned()));
        }
        if !(is_own && STAMPS.contains(&name)) {
            self.add(hash_of_line(name, text));
        }
    }

    fn add(&mut self, hash: Hash) {
        if let Some(innermost) = self.hashes.last_mut() {
            innermost.hashes.push(hash);
        }
    }

    /// Ends the innermost of the nested components; none where there is none.
    fn end_nested(&mut self) -> Option<String> {
        let ended = if self.hashes.len() > 1 { self.hashes.pop()? } else { return None };
        let hash = hash_of_all(&ended.name, ended.hashes);
        self.add(hash);
        Some(ended.name)
    }

    fn hash(&mut self) -> Hash {
        let hashes = self.hashes.pop().map(|own| own.hashes).unwrap_or_default();
        hash_of_all(&self.name, hashes)
    }
}

/// What an object with these components says. Which of several of one occurrence is newer counts if there are several.
fn digest(components: &[SplitComponent], calendars: &[CalendarParts], heads: &[Hash]) -> String {
    let mut keys = HashSet::new();
    let is_repeated = !components.iter().all(|component| keys.insert(&component.key));
    let mut hashes: Vec<Hash> = Vec::with_capacity(2 * components.len());
    for component in components {
        let sequence = component.sequence.filter(|_| is_repeated);
        hashes.push(hash_of_all("", std::iter::once(component.hash).chain(sequence).collect()));
        let of = calendars.get(component.calendar);
        hashes.extend(component.zones.iter().filter_map(|zone| of?.zones.get(*zone)).map(|zone| zone.hash));
        hashes.extend(heads.get(component.calendar));
    }
    hashes.sort_unstable();
    hashes.dedup();
    hex(hash_of_all("", hashes).iter().take(16))
}

/// The components of an object by their calendar.
fn parts(components: Vec<SplitComponent>) -> Vec<ObjectPart> {
    let mut parts: BTreeMap<usize, ObjectPart> = BTreeMap::new();
    for SplitComponent { calendar, range, zones, .. } in components {
        let empty = || ObjectPart { calendar, components: Vec::new(), zones: BTreeSet::new() };
        let part = parts.entry(calendar).or_insert_with(empty);
        part.components.push(range);
        part.zones.extend(zones);
    }
    parts.into_values().collect()
}

/// Of a property: its name in upper case, and the rest as it is.
fn hash_of_line(name: &str, text: &str) -> Hash {
    let rest = text.get(name.len()..).filter(|_| line::name(text).is_some_and(|own| own.len() == name.len()));
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update(rest.unwrap_or(text).trim_end());
    hash.finalize().into()
}

/// Of a component: the hashes of what is in it, in any order.
fn hash_of_all(name: &str, mut hashes: Vec<Hash>) -> Hash {
    hashes.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(name);
    hashes.iter().for_each(|own| hash.update(own));
    hash.finalize().into()
}

/// Whether a line has the parameter TZID, or seems to.
fn mentions_zone(text: &str) -> bool {
    let is_key = |(at, _): (usize, &str)| {
        let key = at.checked_sub(4).and_then(|from| text.get(from..at));
        key.is_some_and(|key| key.eq_ignore_ascii_case("TZID"))
    };
    text.match_indices('=').any(is_key)
}

#[cfg(test)]
mod tests;

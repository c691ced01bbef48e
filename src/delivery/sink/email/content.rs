//! What a mail says about an alarm: its subject, and the same content as text and as HTML. It knows the notification
//! and the reader's zone, and nothing of mail headers or servers.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::phrases;
use crate::calendar::zone::{Zone, Zones};
use crate::delivery::address::bare;
use crate::delivery::render;
use crate::notification::Notification;
use crate::text::shortened;
use crate::time::UtcMillis;

/// An alarm that goes out later than this after its instant says so.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Characters of a subject or a title.
const LONGEST_TITLE: usize = 150;
/// Characters of any other single line.
const LONGEST_LINE: usize = 500;
/// Attendees that are named.
const NAMED_ATTENDEES: usize = 5;

/// The content of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailContent {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// What the text and the HTML are made from; every text is cleaned and bounded.
struct Template {
    title: String,
    late: Option<String>,
    /// The alarm's own words.
    lead: String,
    rows: Vec<(&'static str, String)>,
    description: String,
    footer: String,
    color: String,
}

impl MailContent {
    /// The mail about `n`, sent at `now`. Times are written in the zone `reader` where it is known, else in the
    /// event's.
    pub fn new(n: &Notification, reader: Option<Zone>, zones: &Zones, now: UtcMillis) -> MailContent {
        let times = Times::new(n, reader, zones);
        let title = match line(&n.summary, LONGEST_TITLE) {
            title if title.is_empty() => phrases::UNTITLED.to_owned(),
            title => title,
        };
        let subject = match line(&n.alarm_summary, LONGEST_TITLE) {
            own if !own.is_empty() => own,
            _ => times.short(n).map_or_else(|| title.clone(), |when| format!("{title} - {when}")),
        };
        let description = text(&n.description);
        let lead = Some(text(&n.alarm_description)).filter(|lead| *lead != description && lead.trim() != title);
        let template = Template {
            late: times.late(n, now),
            lead: lead.unwrap_or_default(),
            rows: rows(n, &times),
            footer: phrases::footer(&line(&n.server_fqdn, LONGEST_LINE), &line(&n.calendar_name, LONGEST_LINE)),
            color: color(&n.calendar_color),
            description,
            title,
        };
        MailContent { subject, text: template.plain(), html: template.html() }
    }
}

impl Template {
    fn plain(&self) -> String {
        let mut out = format!("{}\n\n", self.title);
        for paragraph in [self.late.as_deref().unwrap_or_default(), &self.lead] {
            if !paragraph.is_empty() {
                out.push_str(&format!("{paragraph}\n\n"));
            }
        }
        let width = self.rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 1;
        for (label, value) in &self.rows {
            let label = format!("{label}:");
            for (number, part) in value.lines().enumerate() {
                out.push_str(&format!("{:width$} {part}\n", if number == 0 { label.as_str() } else { "" }));
            }
        }
        if !self.description.is_empty() {
            out.push_str(&format!("\n{}\n", self.description));
        }
        out.push_str(&format!("\n-- \n{}\n", self.footer));
        out
    }

    fn html(&self) -> String {
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body style=\"font-family:sans-serif;color:#222;margin:1.5em\">\n\
             <div style=\"border-left:4px solid {color};padding-left:1em\">\n\
             <h1 style=\"font-size:1.25em;margin:0 0 .75em\">{title}</h1>\n",
            title = escaped(&self.title),
            color = self.color,
        );
        if let Some(late) = &self.late {
            out.push_str(&format!("<p><strong>{}</strong></p>\n", escaped(late)));
        }
        if !self.lead.is_empty() {
            out.push_str(&format!("<p>{}</p>\n", escaped(&self.lead)));
        }
        out.push_str("<table style=\"border-collapse:collapse\">\n");
        for (label, value) in &self.rows {
            out.push_str(&format!(
                "<tr><td style=\"color:#666;padding:0 1em .25em 0;vertical-align:top\">{label}</td><td>{}</td></tr>\n",
                escaped(value)
            ));
        }
        out.push_str("</table>\n");
        if !self.description.is_empty() {
            out.push_str(&format!("<p>{}</p>\n", escaped(&self.description)));
        }
        out.push_str(&format!(
            "</div>\n<p style=\"color:#666;font-size:.85em\">{}</p>\n</body></html>\n",
            escaped(&self.footer)
        ));
        out
    }
}

/// The lines of the table.
fn rows(n: &Notification, times: &Times) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if n.component == "VTODO" {
        if n.start != n.end {
            rows.push((phrases::STARTS, times.span(n, &n.start, "")));
        }
        rows.push((phrases::DUE, times.span(n, &n.end, "")));
    } else {
        rows.push((phrases::WHEN, times.span(n, &n.start, &n.end)));
    }
    rows.push((phrases::WHERE, line(&n.location, LONGEST_LINE)));
    rows.push((phrases::CALENDAR, line(&n.calendar_name, LONGEST_LINE)));
    rows.push((phrases::ORGANIZER, line(&bare(&n.organizer), LONGEST_LINE)));
    rows.push((phrases::ATTENDEES, attendees(n)));
    if !n.recurrence_id.is_empty() {
        rows.push((phrases::REPEATS, phrases::ONE_OF_A_SERIES.to_owned()));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// The first attendees by name, or by address where they have none, and how many more there are.
fn attendees(n: &Notification) -> String {
    let names = n.attendee_names.iter().map(|name| line(name, 60));
    let emails = n.attendee_emails.iter().map(|email| line(&bare(email), 60));
    let named = names.zip(emails).map(|(name, email)| if name.is_empty() { email } else { name });
    let named: Vec<String> = named.take(NAMED_ATTENDEES).collect();
    phrases::and_more(&named, n.attendee_emails.len().saturating_sub(named.len()))
}

/// The zones that a mail's times are written in.
struct Times {
    reader: Zone,
    /// Where the event has a zone of its own that the reader may think in.
    event: Option<Zone>,
    /// Whether the reader's zone is worth naming.
    named: bool,
}

impl Times {
    fn new(n: &Notification, reader: Option<Zone>, zones: &Zones) -> Times {
        let event = zones.find(&n.timezone).filter(|zone| zone.id() != "UTC");
        let named = n.timezone != "[floating]";
        match (reader, event) {
            (Some(reader), event) => Times { reader, event, named: true },
            (None, Some(event)) => Times { reader: event, event: None, named },
            (None, None) => Times { reader: Zone::utc(), event: None, named },
        }
    }

    /// When it is, for a subject: the day, and the time where it has one.
    fn short(&self, n: &Notification) -> Option<String> {
        let start = if n.component == "VTODO" && !n.end.is_empty() { &n.end } else { &n.start };
        if let Some(day) = render::date(start) {
            return Some(phrases::short_day(day));
        }
        let wall = self.reader.civil(render::instant(start)?);
        Some(format!("{}, {}", phrases::short_day(wall.date()), phrases::time(wall.time())))
    }

    /// From `start` to `end` (exclusive; empty for none) in the reader's zone, on a second line in the event's own
    /// where that differs. Empty when they are no times.
    fn span(&self, n: &Notification, start: &str, end: &str) -> String {
        if n.all_day == 1 {
            return days(start, end).map(|(first, last)| phrases::all_day(first, last)).unwrap_or_default();
        }
        let Some(from) = render::instant(start) else { return String::new() };
        let to = render::instant(end).filter(|to| *to > from);
        let here = from_to(&self.reader, from, to);
        let mut text = if self.named { format!("{here} ({})", self.reader.id()) } else { here };
        let differs = |zone: &&Zone| zone.civil(from) != self.reader.civil(from);
        if let Some(zone) = self.event.as_ref().filter(differs) {
            let there = format!("{} {}", from_to(zone, from, to), zone.id());
            text.push_str(&format!("\n{}", phrases::elsewhere(&there)));
        }
        text
    }

    /// That the alarm goes out late, when it does.
    fn late(&self, n: &Notification, now: UtcMillis) -> Option<String> {
        let due = render::instant(&n.alarm_time)?;
        let late = now.duration_since(due);
        let wall = self.reader.civil(due);
        let due = format!("{}, {}", phrases::day(wall.date()), phrases::time(wall.time()));
        (late >= LATE_AFTER).then(|| phrases::late(late, &due))
    }
}

/// The first and the last day of an all-day span whose end is exclusive.
fn days(start: &str, end: &str) -> Option<(Date, Date)> {
    let first = render::date(start)?;
    let last = render::date(end).and_then(|end| end.yesterday().ok()).filter(|last| *last > first);
    Some((first, last.unwrap_or(first)))
}

fn from_to(zone: &Zone, from: UtcMillis, to: Option<UtcMillis>) -> String {
    let at = |wall: DateTime| format!("{}, {}", phrases::day(wall.date()), phrases::time(wall.time()));
    let start = zone.civil(from);
    match to.map(|to| zone.civil(to)) {
        None => at(start),
        Some(end) if end.date() == start.date() => format!("{}\u{2013}{}", at(start), phrases::time(end.time())),
        Some(end) => format!("{} \u{2013} {}", at(start), at(end)),
    }
}

/// `text` on one line: blanks and control characters become single spaces, at most `longest` characters. What would
/// read as an encoded word in a header (RFC 2047) is broken up.
fn line(text: &str, longest: usize) -> String {
    let printable = text.replace("=?", "= ?");
    let words: Vec<&str> =
        printable.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    shortened(&words.join(" "), longest).into_owned()
}

/// `text` with its line breaks, without other control characters. It is as long as notifications may have it.
fn text(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let clean: String = lines.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    clean.trim().to_owned()
}

/// `#rrggbb` from a calendar's color, grey where it has none.
fn color(calendar: &str) -> String {
    let digits = calendar.strip_prefix('#').and_then(|rest| rest.get(..6));
    match digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit())) {
        Some(digits) => format!("#{digits}"),
        None => "#888888".to_owned(),
    }
}

/// `text` for HTML, line breaks included.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("<br>\n"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;

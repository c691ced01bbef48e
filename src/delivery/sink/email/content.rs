//! What a mail says about an alarm: the variables of its templates, made from the notification for one reader. It knows
//! nothing of mail headers or servers.

use serde::Serialize;

use super::boilerplate::is_boilerplate;
use super::clean::{beginning, header_line, line, paragraphs};
use super::links::href;
use super::localizer::{DEFAULT, Localizer};
use super::templates::{MailTemplates, TemplateError};
use super::times::EventTimes;
use crate::calendar::zone::{Zone, Zones};
use crate::delivery::address::bare;
use crate::notification::Notification;
use crate::time::UtcMillis;

/// Characters of a subject or a title.
const LONGEST_TITLE: usize = 150;
/// Characters of any other single line.
const LONGEST_LINE: usize = 500;
/// Characters of an address that is shown.
const LONGEST_LINK: usize = 200;
/// Characters and lines of a description: more than that is looked up in the calendar.
const LONGEST_TEXT: usize = 2_000;
const MOST_LINES: usize = 40;
/// Attendees that are named.
const NAMED_ATTENDEES: usize = 5;

/// Whom a mail is written for.
#[derive(Debug)]
pub struct MailReader<'a> {
    /// The language.
    pub localizer: &'a Localizer,
    /// The zone that times are written in; none: that of the event.
    pub zone: Option<Zone>,
}

/// The content of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailContent {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The variables of the templates; docs/mail.md describes them. Every text is cleaned and bounded, but for those in
/// `event`.
#[derive(Debug, Serialize)]
struct MailView<'a> {
    lang: &'a str,
    dir: &'a str,
    subject: String,
    title: String,
    /// That it is late, that the event is over.
    notices: Vec<String>,
    /// The alarm's own words.
    lead: String,
    /// When it is.
    times: Vec<MailRow>,
    /// Where the meeting is online.
    join: Option<MailLink>,
    rows: Vec<MailRow>,
    /// `times` and `rows` for the text part.
    table: String,
    description: String,
    /// That there is more of it.
    description_cut: String,
    /// Where the alarm can be dismissed or snoozed.
    answer: Option<MailLink>,
    footer: String,
    color: String,
    event: &'a Notification,
}

/// A labelled value.
#[derive(Debug, Serialize)]
struct MailRow {
    /// What it is, the same in all languages.
    name: &'static str,
    label: String,
    value: String,
    /// The addresses of the value, where it is nothing else.
    links: Vec<MailLink>,
}

#[derive(Clone, Debug, Serialize)]
struct MailLink {
    href: String,
    label: String,
    text: String,
}

impl MailContent {
    /// The mail about `n` for `reader`, sent at `now`.
    ///
    /// # Errors
    /// When the built-in templates fail.
    pub fn new(
        n: &Notification,
        reader: MailReader<'_>,
        zones: &Zones,
        templates: &MailTemplates,
        now: UtcMillis,
    ) -> Result<MailContent, TemplateError> {
        let times = EventTimes::new(n, reader.zone, zones, reader.localizer);
        let rendered = templates.render(&MailWriter { n, times, localizer: reader.localizer }.view(now))?;
        Ok(MailContent {
            // With the marks of isolates in the texts from right to left, which a subject does not need, taken out.
            subject: header_line(&rendered.subject, LONGEST_TITLE.saturating_mul(2)),
            text: paragraphs(&rendered.text) + "\n",
            html: rendered.html,
        })
    }
}

/// Whether `templates` can write a mail at all.
///
/// # Errors
/// When one of them fails.
pub fn trial(templates: &MailTemplates) -> Result<(), TemplateError> {
    let (Some(localizer), Ok(n)) = (Localizer::new(DEFAULT), serde_json::from_str::<Notification>(TRIAL)) else {
        return Ok(());
    };
    let times = EventTimes::new(&n, None, &Zones::bundled(), &localizer);
    let view = MailWriter { n: &n, times, localizer: &localizer }.view(UtcMillis(0));
    templates.try_render(&view).map(drop)
}

/// A notification that templates are tried with.
const TRIAL: &str = r##"{"event":"CalendarAlarm","pid":1,"serverFQDN":"localhost","alarmTime":"20151119T063000Z",
    "alarmRecipients":[],"userId":"mary","calendarName":"Calendar","uid":"trial","action":"email","summary":"Trial",
    "description":"See https://example.org/","location":"Room 1","timezone":"Australia/Melbourne",
    "start":"20151119T073000Z","end":"20151119T083000Z","allDay":0,"attendeeNames":["Anna"],
    "attendeeEmails":["mailto:anna@example.org"],"attendeeStatus":[""],"organizer":"mailto:boss@example.org",
    "calendarId":"c","calendarColor":"#3366cc","calendarOwner":"mary","recurrenceId":"2015-11-19T18:30:00",
    "alertId":"a","alarmSummary":"","alarmDescription":"","component":"VEVENT","organizerName":"Boss",
    "url":"https://example.org/","conferences":["https://example.org/"],"recurrenceRule":"FREQ=DAILY",
    "notificationId":"0","timestamp":"2015-11-19T06:30:00.000Z"}"##;

/// Writes the variables.
struct MailWriter<'a> {
    n: &'a Notification,
    times: EventTimes<'a>,
    localizer: &'a Localizer,
}

impl<'a> MailWriter<'a> {
    fn view(&self, now: UtcMillis) -> MailView<'a> {
        let n = self.n;
        let title = match line(&n.summary, LONGEST_TITLE) {
            title if title.is_empty() => self.localizer.text("untitled", &[]),
            title => title,
        };
        let whole = paragraphs(&n.description);
        let (description, is_cut) = beginning(&whole, LONGEST_TEXT, MOST_LINES);
        let lead = paragraphs(&n.alarm_description);
        let is_new = lead != whole && !is_boilerplate(&lead, &title);
        let (lead, _) = beginning(if is_new { &lead } else { "" }, LONGEST_TEXT, MOST_LINES);
        let (times, rows) = (self.time_rows(), self.rows());
        MailView {
            lang: self.localizer.lang(),
            dir: self.localizer.dir(),
            subject: self.subject(&title),
            notices: self.notices(now),
            lead: lead.to_owned(),
            join: self.online().into_iter().find(|link| link.href.starts_with("http")),
            table: table(times.iter().chain(&rows)),
            times,
            rows,
            description_cut: if is_cut { self.localizer.text("description-cut", &[]) } else { String::new() },
            description: ellipsis(description, is_cut),
            answer: self
                .link(&n.answer_url)
                .filter(|link| !link.href.is_empty())
                .map(|link| MailLink { label: self.localizer.text("answer", &[]), ..link }),
            footer: self.footer(),
            color: color(&n.calendar_color),
            event: n,
            title,
        }
    }

    /// The alarm's own SUMMARY if that says something, else the title and when it is.
    fn subject(&self, title: &str) -> String {
        let own = line(&self.n.alarm_summary, LONGEST_TITLE);
        if !is_boilerplate(&own, title) {
            return own;
        }
        match self.times.short(self.n) {
            Some(when) => self.localizer.text("subject", &[("title", title), ("when", &when)]),
            None => title.to_owned(),
        }
    }

    fn notices(&self, now: UtcMillis) -> Vec<String> {
        let Some(late) = self.times.late(self.n, now) else { return Vec::new() };
        let over = match self.n.component.as_str() {
            "VTODO" => "over-task",
            _ => "over-event",
        };
        let over = self.times.is_over(self.n, now).then(|| self.localizer.text(over, &[]));
        std::iter::once(late).chain(over).collect()
    }

    fn time_rows(&self) -> Vec<MailRow> {
        let n = self.n;
        let mut rows = match n.component.as_str() {
            "VTODO" => vec![
                (
                    "starts",
                    "label-starts",
                    if n.start == n.end { String::new() } else { self.times.span(n, &n.start, "") },
                ),
                ("due", "label-due", self.times.span(n, &n.end, "")),
            ],
            _ => vec![("when", "label-when", self.times.span(n, &n.start, &n.end))],
        };
        rows.retain(|(_, _, value)| !value.is_empty());
        rows.into_iter().map(|(name, label, value)| self.row(name, label, value)).collect()
    }

    fn rows(&self) -> Vec<MailRow> {
        let n = self.n;
        let (organizer, repeats) = (self.organizer(), self.repeats());
        let moved = self.times.moved_from(n).unwrap_or_default();
        let mut rows = vec![
            self.row("where", "label-where", line(&n.location, LONGEST_LINE)),
            self.links_row("online", "label-online", self.online()),
            self.links_row("link", "label-link", self.link(&n.url).into_iter().collect()),
            self.row("moved", "label-moved", moved),
            self.row("repeats", "label-repeats", repeats),
            self.row("organizer", "label-organizer", organizer),
            self.row("attendees", "label-attendees", self.attendees()),
            self.row("calendar", "label-calendar", line(&n.calendar_name, LONGEST_LINE)),
        ];
        rows.retain(|row| !row.value.is_empty());
        rows
    }

    fn row(&self, name: &'static str, label: &str, value: String) -> MailRow {
        MailRow { name, label: self.localizer.text(label, &[]), value, links: Vec::new() }
    }

    fn links_row(&self, name: &'static str, label: &str, links: Vec<MailLink>) -> MailRow {
        let texts: Vec<&str> = links.iter().map(|link| link.text.as_str()).collect();
        let row = self.row(name, label, texts.join("\n"));
        // What cannot be followed is shown as a text.
        let links = if links.iter().any(|link| link.href.is_empty()) { Vec::new() } else { links };
        MailRow { links, ..row }
    }

    fn online(&self) -> Vec<MailLink> {
        self.n.conferences.iter().filter_map(|uri| self.link(uri)).collect()
    }

    /// `uri` as a link: without one where its scheme may do harm. None: it is empty.
    fn link(&self, uri: &str) -> Option<MailLink> {
        let text = line(uri, LONGEST_LINK);
        let href = href(uri).unwrap_or_default().to_owned();
        (!text.is_empty()).then(|| MailLink { href, label: self.localizer.text("join", &[]), text })
    }

    /// Name and address of the organizer.
    fn organizer(&self) -> String {
        let (name, address) = (line(&self.n.organizer_name, 60), line(&bare(&self.n.organizer), LONGEST_LINE));
        match name.is_empty() || name == address {
            true => address,
            false => format!("{name} <{address}>"),
        }
    }

    /// The first attendees by name, or by address where they have none, and how many more there are.
    fn attendees(&self) -> String {
        let names = self.n.attendee_names.iter().map(|name| line(name, 60));
        let emails = self.n.attendee_emails.iter().map(|email| line(&bare(email), 60));
        let named = names.zip(emails).map(|(name, email)| if name.is_empty() { email } else { name });
        let mut named: Vec<String> = named.take(NAMED_ATTENDEES).collect();
        let more = self.n.attendee_emails.len().saturating_sub(named.len());
        if more > 0 {
            named.push(self.localizer.counted("more", i64::try_from(more).unwrap_or(i64::MAX), &[]));
        }
        self.localizer.list(&named)
    }

    /// How often the event recurs, if it does.
    fn repeats(&self) -> String {
        if self.n.recurrence_id.is_empty() && self.n.recurrence_rule.is_empty() {
            return String::new();
        }
        let rule = self.n.recurrence_rule.to_ascii_uppercase();
        let part = |name: &str| rule.split(';').find_map(|part| part.trim().strip_prefix(name)).map(str::trim);
        let interval = part("INTERVAL=").and_then(|interval| interval.parse().ok()).unwrap_or(1);
        match part("FREQ=") {
            Some("DAILY") => self.localizer.counted("repeats-daily", interval, &[]),
            Some("WEEKLY") => self.localizer.counted("repeats-weekly", interval, &[]),
            Some("MONTHLY") => self.localizer.counted("repeats-monthly", interval, &[]),
            Some("YEARLY") => self.localizer.counted("repeats-yearly", interval, &[]),
            Some(_) => self.localizer.text("repeats-often", &[]),
            None => self.localizer.text("repeats-dates", &[]),
        }
    }

    /// Who sent this, and why.
    fn footer(&self) -> String {
        let server = line(&self.n.server_fqdn, LONGEST_LINE);
        let calendar = line(&self.n.calendar_name, LONGEST_LINE);
        let text = if self.n.component == "VTODO" { "footer-task" } else { "footer-event" };
        self.localizer.text(text, &[("server", &server), ("calendar", &calendar)])
    }
}

/// The rows as text, the values in one column.
fn table<'r>(rows: impl Iterator<Item = &'r MailRow> + Clone) -> String {
    let width = rows.clone().map(|row| row.label.chars().count()).max().unwrap_or(0).saturating_add(1);
    let mut out = String::new();
    for row in rows {
        let label = format!("{}:", row.label);
        for (number, part) in row.value.lines().enumerate() {
            out.push_str(&format!("{:width$} {part}\n", if number == 0 { label.as_str() } else { "" }));
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn ellipsis(text: &str, is_cut: bool) -> String {
    if is_cut { format!("{text} …") } else { text.to_owned() }
}

/// `#rrggbb` from a calendar's color, grey where it has none.
fn color(calendar: &str) -> String {
    let digits = calendar.strip_prefix('#').and_then(|rest| rest.get(..6));
    match digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit())) {
        Some(digits) => format!("#{digits}"),
        None => "#888888".to_owned(),
    }
}

#[cfg(test)]
mod tests;

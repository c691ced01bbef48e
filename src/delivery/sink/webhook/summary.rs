//! What a message about an alarm says: the texts that presets put into their requests. Pure.

use crate::calendar::zone::{Zone, Zones};
use crate::delivery::render;
use crate::delivery::sink::email::{EventTimes, Localizer, beginning, is_boilerplate, line, paragraphs};
use crate::notification::Notification;
use crate::time::UtcMillis;

/// Characters of a title and of any other single line.
const LONGEST_LINE: usize = 150;
/// Characters and lines of the alarm's own words.
const LONGEST_LEAD: usize = 600;
const MOST_LINES: usize = 15;

/// What a message about an alarm says, in the language of its reader; every text is cleaned and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmSummary {
    /// The title of the event, never empty.
    pub title: String,
    /// When it is, in the zone of its reader; empty if that is not known.
    pub when: String,
    /// Where it is.
    pub location: String,
    /// What the user has written into the alarm.
    pub lead: String,
    /// That the alarm goes out late, if it does.
    pub late: String,
    /// Where the alarm can be dismissed or snoozed; empty for nowhere.
    pub answer_url: String,
    /// What a link to that says.
    pub answer_label: String,
    /// The identity of the firing, the same whenever it is sent again.
    pub id: String,
    /// When the alarm was due, in seconds after 1970.
    pub due: i64,
}

impl AlarmSummary {
    /// The summary of `n`, sent at `now`, for a reader of the language of `localizer`. Times are in the zone `reader`,
    /// else in that of the event.
    pub fn new(
        n: &Notification,
        reader: Option<Zone>,
        zones: &Zones,
        localizer: &Localizer,
        now: UtcMillis,
    ) -> AlarmSummary {
        let texts = [&n.summary, &n.alarm_summary, &n.alarm_description].map(|text| line(text, LONGEST_LINE));
        let title = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_else(|| localizer.text("untitled", &[]));
        let lead = paragraphs(&n.alarm_description);
        let is_new = lead != paragraphs(&n.description) && !is_boilerplate(&lead, &title);
        let times = EventTimes::new(n, reader, zones, localizer);
        let when = match n.component == "VTODO" && !n.end.is_empty() {
            true => format!("{}: {}", localizer.text("label-due", &[]), times.span(n, &n.end, "")),
            false => times.span(n, &n.start, &n.end),
        };
        AlarmSummary {
            when,
            location: line(&n.location, LONGEST_LINE),
            lead: beginning(if is_new { &lead } else { "" }, LONGEST_LEAD, MOST_LINES).0.to_owned(),
            late: times.late(n, now).unwrap_or_default(),
            answer_url: n.answer_url.clone(),
            answer_label: localizer.text("answer", &[]),
            id: n.notification_id.clone(),
            due: render::instant(&n.alarm_time).unwrap_or(now).0.div_euclid(1_000),
            title,
        }
    }

    /// Everything but the title and the addresses, a line each.
    pub fn lines(&self) -> Vec<&str> {
        let lines = [&self.when, &self.location, &self.lead, &self.late];
        lines.into_iter().flat_map(|text| text.lines()).filter(|text| !text.is_empty()).collect()
    }

    /// Likewise, as one text that is never empty: receivers refuse messages without one.
    pub fn text(&self) -> String {
        let text = self.lines().join("\n");
        if text.is_empty() { self.title.clone() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sink::samples::melbourne;

    /// The summary of `n` for a reader of `locale` in `zone`, `seconds` after it is due.
    fn summary(n: &Notification, locale: &str, zone: &str, seconds: i64) -> AlarmSummary {
        let zones = Zones::bundled();
        let due = render::instant(&n.alarm_time).unwrap().0;
        let localizer = Localizer::new(locale).unwrap();
        AlarmSummary::new(n, zones.find(zone), &zones, &localizer, UtcMillis(due + 1_000 * seconds))
    }

    #[test]
    fn it_is_in_the_language_and_the_zone_of_the_reader_without_boilerplate() {
        let n = Notification {
            summary: "Tea\r\nwith\u{7} milk".into(),
            location: "Kitchen".into(),
            alarm_description: "Reminder".into(),
            timezone: "UTC".into(),
            ..melbourne()
        };
        let told = summary(&n, "en-GB", "UTC", 59);
        assert_eq!((told.title.as_str(), told.due), ("Tea with milk", 1_447_914_600));
        assert_eq!(told.text(), "Thursday, 19 November 2015, 07:30\u{2013}08:30 (UTC)\nKitchen");
        let n = Notification { alarm_description: "Put the kettle on\n\nnow".into(), ..n };
        let told = summary(&n, "de", "Europe/Berlin", 60);
        assert_eq!(
            told.lines(),
            [
                "Donnerstag, 19. November 2015, 08:30\u{2013}09:30 (Europe/Berlin)",
                "Kitchen",
                "Put the kettle on",
                "now",
                "Diese Erinnerung kommt 1 Minute zu sp\u{e4}t: f\u{e4}llig war sie am Donnerstag, 19. November 2015, \
                 07:30."
            ]
        );
        assert_eq!(told.answer_label, "Erinnerung beenden oder verschieben");
        let task = Notification { component: "VTODO".into(), start: String::new(), ..n.clone() };
        assert!(summary(&task, "en-GB", "UTC", 0).when.starts_with("Due: Thursday"));
        let bare = Notification { summary: String::new(), start: String::new(), ..melbourne() };
        assert_eq!(summary(&bare, "en-GB", "UTC", 0).text(), "(no title)");
        let long = Notification { summary: "x".repeat(999), ..bare };
        assert!(summary(&long, "en-GB", "UTC", 0).title.chars().count() <= 151);
    }
}

//! What of an event or a to-do decides whether its alarms are taken, for a sink or for a user: its kind, its
//! categories, and whether the user takes part in it.

use std::fmt::Display;

use toml::de::DeValue;

use super::address::key;
use crate::calendar::ical::component::{Component, ComponentKind};
use crate::tables::{Section, value};
use crate::text::matches_pattern;

/// The keys of a `[[sink]]` and of `[users."NAME"]` that say which events and to-dos alarms are taken of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmFilter {
    /// The kinds that are taken; empty: all.
    pub components: Vec<ComponentKind>,
    /// Patterns of categories, one of which must match; empty: any, or none.
    pub categories: Vec<String>,
    /// Patterns of categories, none of which may match.
    pub not_categories: Vec<String>,
    /// Nothing is taken that the user has been invited to and has not accepted.
    pub only_accepted: bool,
}

const COMPONENTS: [(&str, ComponentKind); 2] = [("VEVENT", ComponentKind::Event), ("VTODO", ComponentKind::Todo)];

impl AlarmFilter {
    /// Reads its keys in `section`; errors are reported there.
    pub fn read(section: &Section<'_>) -> AlarmFilter {
        AlarmFilter {
            components: section.read("components", components).unwrap_or_default(),
            categories: section.read("categories", value::strings).unwrap_or_default(),
            not_categories: section.read("not_categories", value::strings).unwrap_or_default(),
            only_accepted: section.read("only_accepted", value::boolean).unwrap_or(false),
        }
    }

    /// Why alarms of `component` are not taken, a sentence; none if they are. `holder` is what has the filter, as in
    /// "the sink 'mail'", and `own` are the addresses of the user.
    pub fn refusal(&self, holder: &dyn Display, component: &Component, own: &[String]) -> Option<String> {
        if !self.components.is_empty() && !self.components.contains(&component.kind) {
            return Some(format!("{} is not among the components of {holder}", component.kind.name()));
        }
        self.category_refusal(holder, component).or_else(|| {
            let status = self.only_accepted.then(|| not_accepted(component, own)).flatten()?;
            Some(format!("the user has not accepted it ({}), and {holder} has only_accepted", status.escape_debug()))
        })
    }

    fn category_refusal(&self, holder: &dyn Display, component: &Component) -> Option<String> {
        let is_among =
            |patterns: &[String], category: &str| patterns.iter().any(|pattern| matches_pattern(pattern, category));
        let excluded = component.categories().find(|category| is_among(&self.not_categories, category));
        if let Some(category) = excluded {
            return Some(format!("its category '{}' is among the not_categories of {holder}", category.escape_debug()));
        }
        let is_taken =
            self.categories.is_empty() || component.categories().any(|category| is_among(&self.categories, &category));
        (!is_taken).then(|| match component.categories().next() {
            None => format!("it has no category, and {holder} takes only those that categories lists"),
            Some(_) => format!("none of its categories is among the categories of {holder}"),
        })
    }
}

fn components(value: &DeValue<'_>) -> Result<Vec<ComponentKind>, String> {
    value::strings(value)?.iter().map(|written| value::choose(written, &COMPONENTS)).collect()
}

/// The participation status (PARTSTAT, RFC 5545, 3.2.12) by which the user with the addresses `own` has not accepted
/// `component`. None if the user has accepted it, has organized it, or is not among its attendees.
fn not_accepted(component: &Component, own: &[String]) -> Option<String> {
    let own: Vec<String> = own.iter().map(|address| key(address)).collect();
    let is_own = |address: &str| own.contains(&key(address));
    if own.is_empty() || is_own(&component.organizer) {
        return None;
    }
    let mut refused = None;
    for attendee in &component.attendees {
        if !is_own(&attendee.address) && !attendee.email.as_deref().is_some_and(is_own) {
            continue;
        }
        // A to-do that somebody works on or has done was accepted.
        if ["ACCEPTED", "IN-PROCESS", "COMPLETED"].iter().any(|taken| attendee.status.eq_ignore_ascii_case(taken)) {
            return None;
        }
        let status = if attendee.status.is_empty() { "NEEDS-ACTION" } else { &attendee.status };
        refused.get_or_insert_with(|| status.to_uppercase());
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::ical::object::{Object, ObjectLimits};

    fn component(kind: &str, lines: &str) -> Component {
        let text = format!("BEGIN:VCALENDAR\nBEGIN:{kind}\nUID:a\n{lines}\nEND:{kind}\nEND:VCALENDAR\n");
        Object::parse(text.as_bytes(), &ObjectLimits::default()).unwrap().components.remove(0)
    }

    fn patterns(list: &[&str]) -> Vec<String> {
        list.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn categories_are_taken_apart_as_they_are_written() {
        let of = |lines: &str| component("VEVENT", lines).categories().map(String::from).collect::<Vec<_>>();
        assert_eq!(
            of("CATEGORIES:Work, Home\\, sweet home ,,Ä\nCATEGORIES:A\\\\,B"),
            ["Work", "Home, sweet home", "Ä", "A\\", "B"]
        );
        assert_eq!(of("CATEGORIES:\nSUMMARY:x"), Vec::<String>::new());
    }

    #[test]
    fn events_are_taken_by_kind_and_category() {
        let tea = component("VEVENT", "CATEGORIES:Private,Work: internal");
        let bare = component("VEVENT", "SUMMARY:x");
        let todo = component("VTODO", "CATEGORIES:Work");
        let refusal =
            |filter: &AlarmFilter, component| filter.refusal(&"the sink 'a'", component, &[]).unwrap_or_default();
        let events = AlarmFilter { components: vec![ComponentKind::Event], ..AlarmFilter::default() };
        assert_eq!(refusal(&events, &todo), "VTODO is not among the components of the sink 'a'");
        let work = AlarmFilter { categories: patterns(&["Work*"]), ..AlarmFilter::default() };
        assert_eq!(
            refusal(&work, &bare),
            "it has no category, and the sink 'a' takes only those that categories lists"
        );
        let home = AlarmFilter { categories: patterns(&["Home", "work*"]), ..AlarmFilter::default() };
        assert_eq!(refusal(&home, &tea), "none of its categories is among the categories of the sink 'a'");
        let public = AlarmFilter { not_categories: patterns(&["Private"]), ..work.clone() };
        assert_eq!(refusal(&public, &tea), "its category 'Private' is among the not_categories of the sink 'a'");
        for (filter, component) in [(&events, &tea), (&events, &bare), (&work, &tea), (&work, &todo), (&public, &todo)]
        {
            assert_eq!(refusal(filter, component), "", "{filter:?} {component:?}");
        }
    }

    #[test]
    fn an_invitation_is_accepted_by_the_users_own_status() {
        let filter = AlarmFilter { only_accepted: true, ..AlarmFilter::default() };
        let own = ["mary@example.org".to_owned(), "m@example.org".to_owned()];
        let invited = "ORGANIZER:mailto:bob@example.org\nATTENDEE;PARTSTAT=ACCEPTED:mailto:bob@example.org\nATTENDEE";
        for (kind, lines, expected) in [
            ("VEVENT", "SUMMARY:x".to_owned(), None),
            ("VEVENT", format!("{invited};PARTSTAT=ACCEPTED:MAILTO:Mary@Example.org"), None),
            ("VEVENT", format!("{invited}:mailto:mary@example.org"), Some("NEEDS-ACTION")),
            ("VEVENT", format!("{invited};PARTSTAT=tentative:mailto:m@example.org"), Some("TENTATIVE")),
            ("VEVENT", format!("{invited};EMAIL=m@example.org;PARTSTAT=DELEGATED:urn:uuid:1"), Some("DELEGATED")),
            ("VEVENT", format!("{invited}:mailto:carol@example.org"), None),
            (
                "VEVENT",
                format!("{invited}:mailto:mary@example.org\nATTENDEE;PARTSTAT=ACCEPTED:mailto:m@example.org"),
                None,
            ),
            (
                "VEVENT",
                "ORGANIZER:mailto:mary@example.org\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:mary@example.org".to_owned(),
                None,
            ),
            ("VTODO", format!("{invited};PARTSTAT=IN-PROCESS:mailto:mary@example.org"), None),
        ] {
            let refusal = filter.refusal(&"[users.\"mary\"]", &component(kind, &lines), &own);
            let why =
                |status| format!("the user has not accepted it ({status}), and [users.\"mary\"] has only_accepted");
            assert_eq!(refusal, expected.map(why), "{lines}");
            assert_eq!(AlarmFilter::default().refusal(&"", &component(kind, &lines), &own), None);
        }
    }
}

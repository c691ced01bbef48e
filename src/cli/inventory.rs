//! Whose calendars a check has found, which addresses of these users are missing, and which names in the settings match
//! no user or calendar.

use std::collections::BTreeSet;

use super::reach::Reach;
use crate::config::Config;
use crate::delivery::routing::is_meant;

/// Something in the settings that is perhaps not as it was meant.
#[derive(Debug)]
pub(super) struct SettingsWarning {
    /// The user or the sink that it is about.
    pub(super) name: String,
    pub(super) sentence: String,
}

/// The users and calendars that a check has found.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    users: BTreeSet<String>,
    /// Those whose address is not known for some calendar.
    without_address: BTreeSet<String>,
    /// A source could not be read: there may be more.
    more: bool,
    /// Name and id of each calendar that is watched.
    calendars: BTreeSet<(String, String)>,
    /// Those of a source are not known.
    more_calendars: bool,
}

impl Inventory {
    /// `user` has a calendar; none of the user's addresses is known where `lacks_address`.
    pub(super) fn met(&mut self, user: &str, lacks_address: bool) {
        self.users.insert(user.to_owned());
        if lacks_address {
            self.without_address.insert(user.to_owned());
        }
    }

    /// The calendar `name` with the id `id` is watched.
    pub(super) fn found(&mut self, name: &str, id: &str) {
        self.calendars.insert((name.to_owned(), id.to_owned()));
    }

    /// The names of the calendars.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.calendars.iter().map(|(name, _)| name.as_str())
    }

    /// A source could not be read.
    pub(super) fn may_be_more(&mut self) {
        (self.more, self.more_calendars) = (true, true);
    }

    /// The calendars of a source were not asked for.
    pub(super) fn may_have_more_calendars(&mut self) {
        self.more_calendars = true;
    }

    /// Adds those that another source has.
    pub(super) fn extend(&mut self, other: Inventory) {
        self.users.extend(other.users);
        self.without_address.extend(other.without_address);
        self.more |= other.more;
        self.calendars.extend(other.calendars);
        self.more_calendars |= other.more_calendars;
    }

    /// Names in the settings of sinks that match no user or calendar.
    pub(super) fn unmatched(&self, config: &Config) -> Vec<SettingsWarning> {
        let mut found = Vec::new();
        for sink in &config.sinks {
            let users = sink.users.iter().filter(|user| !self.more && !self.users.contains(*user));
            let is_none = |pattern: &&String| !self.calendars.iter().any(|(name, id)| is_meant(pattern, name, id));
            let calendars = sink.calendars.iter().filter(|pattern| !self.more_calendars && is_none(pattern));
            let users = users.map(|user| format!("users: no calendars of '{}' were found", user.escape_debug()));
            let calendars =
                calendars.map(|name| format!("calendars: '{}' is not a calendar that is watched", name.escape_debug()));
            let warning = |sentence| SettingsWarning { name: sink.name.clone(), sentence };
            found.extend(users.chain(calendars).map(warning));
        }
        found
    }

    /// What is perhaps not as it was meant in the settings of users.
    pub(super) fn warnings(&self, config: &Config) -> Vec<SettingsWarning> {
        let reach = Reach::new(config);
        let lacking = self
            .without_address
            .iter()
            .filter_map(|user| Some(SettingsWarning { name: user.clone(), sentence: reach.no_address(user)? }));
        let unknown = config.users.keys().filter(|user| !self.more && !self.users.contains(*user));
        let unknown = unknown.map(|user| {
            let user_text = user.escape_debug();
            let sentence = format!("no calendars of [users.\"{user_text}\"] were found: is it the userId?");
            SettingsWarning { name: user.clone(), sentence }
        });
        lacking.chain(unknown).chain(self.unmatched_muted(config)).collect()
    }

    /// Calendars that are muted and not watched.
    fn unmatched_muted(&self, config: &Config) -> Vec<SettingsWarning> {
        let mut found = Vec::new();
        for (user, settings) in config.users.iter().filter(|_| !self.more_calendars) {
            let is_none = |pattern: &&String| !self.calendars.iter().any(|(name, id)| is_meant(pattern, name, id));
            found.extend(settings.routing.muted.iter().filter(is_none).map(|pattern| SettingsWarning {
                name: user.clone(),
                sentence: format!("muted: '{}' is not a calendar that is watched", pattern.escape_debug()),
            }));
        }
        found
    }
}

//! Whose calendars a check has found, and what is not known of these people.

use std::collections::BTreeSet;

use super::reach::Reach;
use crate::config::Config;

/// The people that a check has met.
#[derive(Debug, Default)]
pub(super) struct People {
    users: BTreeSet<String>,
    /// Those of whom some calendar knows no address.
    without_address: BTreeSet<String>,
    /// A source could not be read: there may be more.
    more: bool,
}

impl People {
    /// `user` has a calendar; none of the user's addresses is known where `lacks_address`.
    pub(super) fn met(&mut self, user: &str, lacks_address: bool) {
        self.users.insert(user.to_owned());
        if lacks_address {
            self.without_address.insert(user.to_owned());
        }
    }

    /// A source could not be read.
    pub(super) fn may_be_more(&mut self) {
        self.more = true;
    }

    /// Adds those that another source has.
    pub(super) fn extend(&mut self, other: People) {
        self.users.extend(other.users);
        self.without_address.extend(other.without_address);
        self.more |= other.more;
    }

    /// What is perhaps not as it was meant: userId and a sentence.
    pub(super) fn warnings(&self, config: &Config) -> Vec<(String, String)> {
        let reach = Reach::new(config);
        let lacking = self.without_address.iter().filter_map(|user| Some((user.clone(), reach.no_address(user)?)));
        let unknown = config.users.keys().filter(|user| !self.more && !self.users.contains(*user));
        let unknown = unknown.map(|user| {
            let user_text = user.escape_debug();
            let sentence = format!("[users.\"{user_text}\"] is nobody whose calendars were found: is it the userId?");
            (user.clone(), sentence)
        });
        lacking.chain(unknown).collect()
    }
}

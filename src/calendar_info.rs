//! What is known of a calendar besides its objects: a source reads it from its store, the ledger keeps it. What follows
//! from it for alarms and notifications is in `firing::context`.

/// A calendar as its store describes it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarInfo {
    /// Where it is: the URL path of the collection as the server writes it (`/mary/work/`), or the folder relative to
    /// the watched one. Stable, and unique in its source.
    pub href: String,
    /// The last path segment of `href`, decoded (`work`).
    pub id: String,
    /// The user whose alarms these are.
    pub user: String,
    /// The owner, where it is known that it is somebody else; else the user.
    pub owner: String,
    /// The user's own addresses, bare (`mary@example.org`).
    pub emails: Vec<String>,
    /// DAV:displayname; `id` where there is none.
    pub name: String,
    /// Apple's calendar-color; empty where there is none.
    pub color: String,
    /// The calendar's own zone: an IANA id, or the text of a VTIMEZONE (CalDAV `calendar-timezone-id`, else
    /// `calendar-timezone`); none where the store names none.
    pub zone: Option<String>,
    /// The user's zone (the source's `zone` key), an IANA id.
    pub user_zone: Option<String>,
    /// What fires for events without an alarm of their own, where the store has that and the settings want it.
    pub default_alarms: DefaultAlarmTexts,
    /// Which part of the configuration says that the alarms of the calendar's objects do not fire: `calendar`, `source`
    /// or `user`; none: they fire.
    pub alarms_ignored_by: Option<String>,
    /// Which of the alarms of its objects fire; all of them unless it is known that it is somebody else's.
    pub shared_alarms: SharedAlarms,
    /// The time of day at which alarms of all-day events fire that would fire at midnight, `07:00`; none: at midnight.
    pub all_day_at: Option<String>,
    /// The privileges that the user has on it (RFC 3744, 5.5), their names sorted, between spaces; none where the store
    /// does not say.
    pub privileges: Option<String>,
}

/// Which alarms fire for a user in a calendar that is another user's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedAlarms {
    /// All of them.
    #[default]
    Ring,
    /// Those that are the user's own: default alarms, and EMAIL alarms to one of the user's addresses.
    OwnAlarms,
    /// None.
    Off,
}

impl SharedAlarms {
    /// All that there are, each with its name in the configuration and in the ledger.
    pub const NAMES: [(&str, SharedAlarms); 3] =
        [("ring", SharedAlarms::Ring), ("own-alarms", SharedAlarms::OwnAlarms), ("off", SharedAlarms::Off)];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            SharedAlarms::Ring => "ring",
            SharedAlarms::OwnAlarms => "own-alarms",
            SharedAlarms::Off => "off",
        }
    }

    /// That with this name; [`SharedAlarms::Ring`] if none has it.
    pub fn named(name: &str) -> SharedAlarms {
        SharedAlarms::NAMES.iter().find(|(known, _)| *known == name).map(|(_, alarms)| *alarms).unwrap_or_default()
    }
}

/// What fires for events without an alarm: VALARM texts that a calendar or its home carries (CalDAV
/// `default-alarm-vevent-datetime` and `default-alarm-vevent-date`), or the text of
/// [`ConfiguredAlarms`](crate::calendar::configured_alarms::ConfiguredAlarms).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultAlarmTexts {
    /// For events that begin at a time.
    pub timed: Option<String>,
    /// For all-day events.
    pub all_day: Option<String>,
}

impl DefaultAlarmTexts {
    /// Those that a calendar carries.
    pub fn of_server(&self) -> DefaultAlarmTexts {
        let of_server = |text: &Option<String>| text.clone().filter(|text| !text.starts_with('{'));
        DefaultAlarmTexts { timed: of_server(&self.timed), all_day: of_server(&self.all_day) }
    }

    /// Octets of their texts.
    pub fn size(&self) -> usize {
        [&self.timed, &self.all_day].into_iter().flatten().map(String::len).sum()
    }
}

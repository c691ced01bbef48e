//! Time zones: from wall-clock time to the instant and back.
//!
//! * [`Zone`] is one zone, whatever its rules come from: TZif data of the time zone database, the VTIMEZONE of an
//!   object, or the tables that are compiled into `chrono-tz`.
//! * [`Zones`] is the database: it finds a zone by its IANA id, and reads the TZIDs that calendars really contain
//!   (`names`, `windows`).
//! * [`VTimezone`] is a zone that an object defines for itself, as plain data; [`Zones::resolve`] makes a zone of it.
//!
//! Nothing here reads a file: the bundled database is part of the program, and that of a folder is read by
//! [`crate::zoneinfo`].

mod compare;
mod database;
mod names;
mod shown;
#[cfg(test)]
mod tests;
mod transitions;
mod vtimezone;
mod windows;

use std::sync::{Arc, LazyLock};

use chrono::offset::{LocalResult, Offset as _, TimeZone as _};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use self::transitions::Transitions;
use crate::time::{UtcMillis, whole_millis};
pub use compare::{Difference, OffsetChange};
pub(crate) use database::{Data, ZoneData};
pub use database::{ResolvedZone, Zones};
pub use vtimezone::{Observance, VTimezone, ZoneLimits};

/// A time zone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Zone(Arc<ZoneInner>);

#[derive(Debug)]
struct ZoneInner {
    id: Box<str>,
    rules: Rules,
}

/// Where a zone's offsets come from.
#[derive(Debug)]
enum Rules {
    /// Always so many seconds east of UTC.
    Fixed(i32),
    /// Data of the time zone database.
    Tzif(TimeZone),
    /// An object's own VTIMEZONE.
    Own(Transitions),
    /// The last fallback: as compiled into `chrono-tz`.
    Compiled(chrono_tz::Tz),
}

/// Where a wall-clock time lies (RFC 5545, 3.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// It exists once.
    Exact,
    /// It does not exist (clocks go forward): taken with the offset before the gap.
    Gap,
    /// It exists twice (clocks go back): the first one is taken.
    Fold,
}

/// The instant of a wall-clock time in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilInstant {
    /// The instant.
    pub at: UtcMillis,
    /// Whether the wall clock shows the time once, never or twice.
    pub ambiguity: Ambiguity,
}

/// The offset that is used for a wall-clock time.
#[derive(Clone, Copy, Debug)]
struct CivilOffset {
    /// Seconds east of UTC.
    offset: i32,
    ambiguity: Ambiguity,
}

impl CivilOffset {
    fn exact(offset: i32) -> CivilOffset {
        CivilOffset { offset, ambiguity: Ambiguity::Exact }
    }
}

/// How a TZID names its zone: what [`Zones::resolve_as`] found it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TzidMatch {
    /// It is an id of the database.
    Id,
    /// It ends in one, behind a prefix.
    Prefixed,
    /// It is a name that Windows has for a zone.
    Windows,
    /// The X-LIC-LOCATION of its VTIMEZONE is an id of the database.
    Location,
    /// Only the object's own VTIMEZONE defines it.
    Own,
    /// It is not a name, but looks like one.
    Likely,
    /// It is not a name, and states an offset from UTC.
    Offset,
}

static UTC: LazyLock<Zone> = LazyLock::new(|| Zone::fixed("UTC", 0));

impl Zone {
    /// UTC.
    pub fn utc() -> Zone {
        UTC.clone()
    }

    /// A zone that is always `seconds` east of UTC, called `id`.
    pub fn fixed(id: &str, seconds: i32) -> Zone {
        Zone::new(id, Rules::Fixed(seconds))
    }

    /// The zone that `vtimezone` defines, under its TZID; none if it has no observance that can be used.
    fn own(vtimezone: &VTimezone) -> Option<Zone> {
        Some(Zone::new(&vtimezone.tzid, Rules::Own(Transitions::new(vtimezone)?)))
    }

    fn new(id: &str, rules: Rules) -> Zone {
        Zone(Arc::new(ZoneInner { id: id.into(), rules }))
    }

    /// Whether its rules are those of the object alone, so that no update of the time zone database changes them.
    pub fn is_own(&self) -> bool {
        matches!(self.0.rules, Rules::Own(_))
    }

    /// The seconds east of UTC where they are always the same.
    pub(super) fn fixed_offset(&self) -> Option<i32> {
        match self.0.rules {
            Rules::Fixed(seconds) => Some(seconds),
            _ => None,
        }
    }

    /// The IANA id (`Europe/Berlin`, in the database's spelling), `UTC`, or the TZID of an own VTIMEZONE.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The instant of the wall-clock time `civil` (RFC 5545, 3.3.5: in a gap with the offset before it, in a fold the
    /// first one). Instants outside the range of [`UtcMillis`] are moved to its nearest end.
    pub fn instant(&self, civil: DateTime) -> CivilInstant {
        let CivilOffset { offset, ambiguity } = match &self.0.rules {
            Rules::Fixed(seconds) => CivilOffset::exact(*seconds),
            Rules::Tzif(zone) => match zone.to_ambiguous_timestamp(civil).offset() {
                AmbiguousOffset::Unambiguous { offset } => CivilOffset::exact(offset.seconds()),
                AmbiguousOffset::Gap { before, .. } => {
                    CivilOffset { offset: before.seconds(), ambiguity: Ambiguity::Gap }
                }
                AmbiguousOffset::Fold { before, .. } => {
                    CivilOffset { offset: before.seconds(), ambiguity: Ambiguity::Fold }
                }
            },
            Rules::Own(transitions) => transitions.offset_at_civil(as_if_utc(civil).seconds()),
            Rules::Compiled(zone) => compiled_offset(*zone, civil),
        };
        CivilInstant { at: as_if_utc(civil).saturating_sub(SignedDuration::from_secs(offset.into())), ambiguity }
    }

    /// What a local clock shows at the instant `at`.
    pub fn civil(&self, at: UtcMillis) -> DateTime {
        let ahead = SignedDuration::from_secs(self.offset(at).into());
        Offset::UTC.to_datetime(at.saturating_add(ahead).timestamp())
    }

    /// The seconds east of UTC at the instant `at`.
    pub fn offset(&self, at: UtcMillis) -> i32 {
        match &self.0.rules {
            Rules::Fixed(seconds) => *seconds,
            Rules::Tzif(zone) => zone.to_offset(at.timestamp()).seconds(),
            Rules::Own(transitions) => transitions.offset(at.seconds()),
            Rules::Compiled(zone) => match zone.timestamp_millis_opt(at.0) {
                LocalResult::Single(time) => time.offset().fix().local_minus_utc(),
                _ => 0,
            },
        }
    }

    /// The seconds east of UTC without summer time, as of 2025.
    fn standard_offset(&self) -> i32 {
        /// 1 January and 1 July 2025.
        const TIMES: [UtcMillis; 2] = [UtcMillis(1_735_689_600_000), UtcMillis(1_751_328_000_000)];
        TIMES.map(|at| self.offset(at)).into_iter().min().unwrap_or(0)
    }

    /// An instant up to which, not included, the offset is the one that it is at `at`. It may change later than that,
    /// and what `chrono-tz` compiled says nothing of its changes: there it is `at`.
    pub fn constant_until(&self, at: UtcMillis) -> UtcMillis {
        match &self.0.rules {
            Rules::Fixed(_) => UtcMillis(i64::MAX),
            Rules::Tzif(zone) => {
                let next = zone.following(at.timestamp()).next();
                next.map_or(UtcMillis(i64::MAX), |change| UtcMillis(change.timestamp().as_millisecond()))
            }
            Rules::Own(transitions) => UtcMillis::from_seconds(transitions.constant_until(at.seconds())),
            Rules::Compiled(_) => at,
        }
    }
}

/// The instant at which UTC's clocks show `civil`.
fn as_if_utc(civil: DateTime) -> UtcMillis {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    UtcMillis(whole_millis(civil.duration_since(EPOCH)))
}

/// The offset that rule 9 takes for the time `civil` in a zone of `chrono-tz`, which does not say what was before a
/// gap: the offset a day earlier is.
fn compiled_offset(zone: chrono_tz::Tz, civil: DateTime) -> CivilOffset {
    let Some(local) = chrono::DateTime::from_timestamp_millis(as_if_utc(civil).0).map(|time| time.naive_utc()) else {
        return CivilOffset::exact(0);
    };
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) => CivilOffset::exact(offset.fix().local_minus_utc()),
        LocalResult::Ambiguous(first, second) => {
            let offset = first.fix().local_minus_utc().max(second.fix().local_minus_utc());
            CivilOffset { offset, ambiguity: Ambiguity::Fold }
        }
        LocalResult::None => {
            let before = local.checked_sub_days(chrono::Days::new(1)).unwrap_or(local);
            let offset = zone.offset_from_utc_datetime(&before).fix().local_minus_utc();
            CivilOffset { offset, ambiguity: Ambiguity::Gap }
        }
    }
}

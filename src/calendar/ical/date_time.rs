//! A date or time with its zone, as a property says it.

use jiff::civil::{Date, DateTime};

/// A TZID that the object uses: an index into [`super::object::Object::tzids`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TzId(pub(crate) u32);

impl TzId {
    /// Which of the object's TZIDs.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A date or time with what its property says about its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarDateTime {
    /// VALUE=DATE.
    Date(Date),
    /// With `Z`: what UTC's clocks show.
    Utc(DateTime),
    /// Without `Z` and TZID: floating.
    Floating(DateTime),
    /// With TZID.
    Zoned(DateTime, TzId),
}

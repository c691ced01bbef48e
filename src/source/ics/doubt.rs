//! When it is not believed that events are gone that a feed no longer has: servers publish half of a calendar, or an
//! empty one, while something is wrong with them.

use jiff::SignedDuration;

use crate::time::UtcMillis;

/// So few are believed to be gone at once, as in a CalDAV calendar.
const FEW: usize = 10;
/// Where many are gone, a later fetch has to say the same, so long after the first one.
const SECOND_FETCH: SignedDuration = SignedDuration::from_secs(30);
/// The same where none are left.
const EMPTY: SignedDuration = SignedDuration::from_hours(24);

/// Numbers of objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub known: usize,
    pub listed: usize,
    /// Of the known ones, those that are not listed.
    pub gone: usize,
}

/// Whether objects count as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// They do.
    Gone,
    /// They are kept until another fetch says the same.
    Doubted {
        /// When they were missing for the first time.
        since: UtcMillis,
        /// How long that has to last from now on.
        left: SignedDuration,
    },
}

/// Whether what is missing at the instant `now` counts as gone. `since`: the fetches before have missed many as well,
/// from then on.
pub(super) fn weigh(counts: Counts, since: Option<UtcMillis>, now: UtcMillis) -> Belief {
    let Counts { known, listed, gone } = counts;
    // Where as many are listed as before they have other names now.
    let is_much = gone > FEW && gone * 2 >= known && listed * 2 < known;
    if !is_much {
        return Belief::Gone;
    }
    // What lies ahead was dated by a clock that has been set back since.
    let since = since.map_or(now, |since| since.min(now));
    let wanted = if listed == 0 { EMPTY } else { SECOND_FETCH };
    let left = wanted.saturating_sub(now.duration_since(since));
    if left.is_positive() { Belief::Doubted { since, left } } else { Belief::Gone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_that_is_gone_is_doubted_and_all_of_it_for_long() {
        let of = |known, listed, gone, since: Option<i64>| match weigh(
            Counts { known, listed, gone },
            since.map(UtcMillis),
            UtcMillis(1_000_000),
        ) {
            Belief::Gone => None,
            Belief::Doubted { since, left } => Some((since.0, left.as_millis())),
        };
        assert_eq!((of(10, 0, 10, None), of(100, 89, 11, None), of(100, 51, 49, None)), (None, None, None));
        assert_eq!(of(100, 40, 60, None), Some((1_000_000, 30_000)));
        assert_eq!(of(100, 40, 60, Some(980_000)), Some((980_000, 10_000)));
        assert_eq!((of(100, 40, 60, Some(970_000)), of(100, 60, 100, None)), (None, None));
        assert_eq!(of(11, 0, 11, Some(970_000)), Some((970_000, 86_370_000)));
        assert_eq!(of(11, 0, 11, Some(2_000_000)), Some((1_000_000, 86_400_000)));
    }
}

//! How soon a feed is fetched again: as it says itself, within the bounds of the settings.

use std::time::Duration;

use crate::calendar::ical::value;
use crate::config::IcsSettings;

/// How long until the next fetch. `refresh`: what the feed says of that; `max_age`: how long its server says that the
/// answer can be used, which only makes fetches rarer.
pub(super) fn interval(settings: &IcsSettings, refresh: Option<Duration>, max_age: Option<Duration>) -> Duration {
    let bounded = |wish: Duration| wish.clamp(settings.min_interval, settings.max_interval.max(settings.min_interval));
    match refresh {
        Some(refresh) => bounded(refresh),
        None => max_age.filter(|age| *age > settings.interval).map_or(settings.interval, bounded),
    }
}

/// A duration of iCalendar as elapsed time; none where it is not longer than nothing.
pub(super) fn elapsed(refresh: value::Duration) -> Option<Duration> {
    let days = u64::try_from(refresh.days).ok()?.checked_mul(86_400)?;
    let seconds = days.checked_add_signed(refresh.time.as_secs())?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ics::tests::settings;

    #[test]
    fn a_feed_says_how_often_it_is_fetched_within_bounds() {
        let seconds = Duration::from_secs;
        let settings = settings();
        let of = |refresh: Option<u64>, age: Option<u64>| {
            interval(&settings, refresh.map(seconds), age.map(seconds)).as_secs()
        };
        assert_eq!((of(None, None), of(Some(60), None), of(Some(3_600), None)), (900, 300, 3_600));
        assert_eq!((of(Some(7 * 86_400), None), of(Some(3_600), Some(9_000))), (86_400, 3_600));
        // A server that forbids to keep an answer does not ask to be asked at once.
        assert_eq!((of(None, Some(0)), of(None, Some(7_200)), of(None, Some(9_000_000))), (900, 7_200, 86_400));
    }

    #[test]
    fn durations_of_a_feed() {
        let of = |text: &str| elapsed(value::Duration::parse(text).unwrap()).map(|length| length.as_secs());
        assert_eq!(
            (of("PT1H"), of("P1D"), of("P1DT1H"), of("P1W")),
            (Some(3_600), Some(86_400), Some(90_000), Some(604_800))
        );
        assert_eq!((of("PT0S"), of("-PT1H"), of("-P1D"), of("P1000000D")), (None, None, None, Some(86_400_000_000)));
    }
}

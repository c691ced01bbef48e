//! How long one request waits for a server that is busy.

use std::time::Duration;

use tokio::time::Instant;

use super::message::HttpResponse;

/// The longest that one request waits, all in all, for a server that is busy and says so (429, or 503 with a
/// Retry-After).
const LONGEST: Duration = Duration::from_secs(30);
/// And for one that only says that it is not available (503), which may be an outage as well as a limit.
const DOUBTFUL: Duration = Duration::from_secs(5);

/// Since when one request waits for a server that is busy.
#[derive(Debug, Default)]
pub struct Patience(Option<Instant>);

impl Patience {
    /// Whether the request is to be sent again after `response`, in its turn. `is_down`: the server was so before.
    pub fn lasts(&mut self, response: &HttpResponse, is_down: bool) -> bool {
        let retry_after = response.retry_after.unwrap_or_default();
        let longest = match response.status {
            429 => LONGEST,
            503 if !retry_after.is_zero() => LONGEST,
            503 if !is_down => DOUBTFUL,
            _ => return false,
        };
        let now = Instant::now();
        now.duration_since(*self.0.get_or_insert(now)).saturating_add(retry_after) <= longest
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::http::message::response_head;

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_waited_for_within_bounds() {
        let said = |status: u16, retry_after: Option<u64>| HttpResponse {
            retry_after: retry_after.map(Duration::from_secs),
            ..response_head(Url::parse("https://host/").unwrap(), status, &HeaderMap::new())
        };
        let first = |response: HttpResponse, is_down| Patience::default().lasts(&response, is_down);
        assert!(first(said(429, None), true) && first(said(429, Some(30)), false));
        assert!(!first(said(429, Some(31)), false), "such a pause is the next sync's");
        assert!(first(said(503, Some(30)), true) && first(said(503, None), false));
        assert!(!first(said(503, None), true), "it is down, and not busy");
        assert!(!first(said(502, Some(1)), false) && !first(said(200, None), false));
        let (mut patience, mut doubtful) = (Patience::default(), Patience::default());
        assert!(patience.lasts(&said(429, None), false) && doubtful.lasts(&said(503, None), false));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(patience.lasts(&said(429, Some(20)), false) && !patience.lasts(&said(429, Some(21)), false));
        assert!(!doubtful.lasts(&said(503, None), false));
    }
}

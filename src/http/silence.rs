//! How long a server may be silent before a request is given up. One whose answer took too long to begin gets more time
//! when it is sent again: listing a calendar of many thousand objects takes some servers minutes the first time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::message::HttpRequest;

/// The time doubles so many times at most.
const MAX_DOUBLINGS: u32 = 4;
/// A whole response may take so many times as long as its server may be silent, or [`SHORTEST_WHOLE`].
const WHOLE: u32 = 20;
const SHORTEST_WHOLE: Duration = Duration::from_secs(10 * 60);
/// Requests that are remembered as slow.
const MAX_SLOW: usize = 10_000;

/// What requests are alike by.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RequestKey {
    method: &'static str,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    kind: &'static str,
    path: String,
}

/// The time limits of one account's requests.
#[derive(Debug)]
pub struct Silence {
    usual: Duration,
    /// How often the time of a request was doubled.
    slow: Mutex<HashMap<RequestKey, u32>>,
}

impl Silence {
    /// Of a server that may usually be silent for `usual`.
    pub fn new(usual: Duration) -> Silence {
        Silence { usual, slow: Mutex::default() }
    }

    /// How long the server may be silent after `request`.
    pub fn of(&self, request: &HttpRequest) -> Duration {
        let doublings = self.slow().get(&key(request)).copied().unwrap_or(0);
        self.usual.saturating_mul(1 << doublings)
    }

    /// How long all of any response may take.
    pub fn whole(&self) -> Duration {
        self.usual.saturating_mul(WHOLE).max(SHORTEST_WHOLE)
    }

    /// Notes that `request` was given up: the next one like it gets more time.
    pub fn broken_by(&self, request: &HttpRequest) {
        let mut slow = self.slow();
        if slow.len() < MAX_SLOW || slow.contains_key(&key(request)) {
            let doublings = slow.entry(key(request)).or_default();
            *doublings = (*doublings + 1).min(MAX_DOUBLINGS);
        }
    }

    /// Notes that `request` was answered, after `silence`: where that was short, the next one like it gets the usual
    /// time.
    pub fn ended_by(&self, request: &HttpRequest, silence: Duration) {
        if silence < self.usual / 2 {
            self.slow().remove(&key(request));
        }
    }

    fn slow(&self) -> MutexGuard<'_, HashMap<RequestKey, u32>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(request: &HttpRequest) -> RequestKey {
    let path = request.url.path().to_owned();
    // What a conditional request knows already changes, and the request is the same.
    let headers = request.headers.iter().filter(|(name, _)| !name.starts_with("If-")).cloned().collect();
    RequestKey { method: request.method.name(), headers, kind: request.kind, path }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;
    use crate::http::Method;

    #[test]
    fn a_slow_request_gets_twice_the_time_up_to_a_bound_until_it_is_quick() {
        let silence = Silence::new(Duration::from_secs(30));
        let of = |path: &str| {
            let url = Url::parse(&format!("https://host{path}")).unwrap();
            HttpRequest::new(Method::new("PROPFIND"), &url).with_header("Depth", "1")
        };
        let (big, small) = (of("/big/"), of("/small/"));
        for seconds in [30, 60, 120, 240, 480, 480] {
            assert_eq!(silence.of(&big), Duration::from_secs(seconds));
            silence.broken_by(&big);
        }
        assert_eq!(silence.of(&small), Duration::from_secs(30), "others are given up as usual");
        // What is asked of the same address and is quick says nothing of what is slow.
        silence.ended_by(&HttpRequest { headers: vec![("Depth".into(), "0".into())], ..big.clone() }, Duration::ZERO);
        silence.ended_by(&big, Duration::from_secs(20));
        assert_eq!(silence.of(&big), Duration::from_secs(480));
        silence.ended_by(&big, Duration::from_secs(14));
        assert_eq!(silence.of(&big), Duration::from_secs(30));
        assert_eq!((silence.whole(), Silence::new(Duration::from_secs(1)).whole()), (SHORTEST_WHOLE, SHORTEST_WHOLE));
    }
}

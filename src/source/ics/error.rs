//! Why a feed could not be read. No message names more of its address than the host.

use std::time::Duration;

use super::address::shown_text;
use crate::calendar::ical::object::ParseError;
use crate::http::HttpError;
use crate::source::contract::StoreError;

/// Why a sync of a feed failed. Addresses in the messages are shown without their path.
#[derive(Debug, thiserror::Error)]
pub enum IcsError {
    /// The address or a file that the settings name cannot be used.
    #[error("{0}")]
    Settings(String),
    /// No connection, or no name.
    #[error("{url} cannot be reached ({reason})")]
    Unreachable {
        /// What was asked, as it may be shown.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// A connection that broke off.
    #[error("{url} did not answer to the end ({reason}): nothing of the answer is used")]
    Broken {
        /// What was asked, as it may be shown.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// No secure connection.
    #[error("there is no secure connection to {url}: {reason}")]
    Tls {
        /// What was asked, as it may be shown.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer within {seconds} s: it is tried again, and waited for {next} s then")]
    Timeout {
        /// What was asked, as it may be shown.
        url: String,
        /// How long it was waited for, seconds.
        seconds: u64,
        /// How long it is waited for the next time, seconds.
        next: u64,
    },
    /// 401, 403.
    #[error(
        "{url} may not be read ({status}): check that the calendar is still shared at this address, and the source's login if it has one"
    )]
    Unauthorized {
        /// What was asked, as it may be shown.
        url: String,
        /// The status of the response.
        status: u16,
    },
    /// 404, 410.
    #[error(
        "{url} has no calendar at this address ({status}): it may have been given another one; its known alarms stay scheduled for a while"
    )]
    NotFound {
        /// What was asked, as it may be shown.
        url: String,
        /// The status of the response.
        status: u16,
    },
    /// 429, 502, 503, 504.
    #[error("{url} is not available now ({status}): it is tried again")]
    Unavailable {
        /// What was asked, as it may be shown.
        url: String,
        /// The status of the response.
        status: u16,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    #[error("{url} answers with status {status} instead of a calendar")]
    Status {
        /// What was asked, as it may be shown.
        url: String,
        /// The status of the response.
        status: u16,
    },
    /// A redirection that is not followed.
    #[error("{url} redirects to {to}, without encryption: that is not followed")]
    Unencrypted {
        /// What was asked, as it may be shown.
        url: String,
        /// Where it leads, as it may be shown.
        to: String,
    },
    /// Redirections without an end.
    #[error("{url} redirects more than {limit} times (limits.max_redirects)")]
    RedirectLoop {
        /// What was asked, as it may be shown.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// More than is read.
    #[error(
        "{url} answers with more than the {limit} octets that limits.max_response_size allows: nothing of it is used"
    )]
    TooLarge {
        /// What was asked, as it may be shown.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// Its events would have too many octets together with the time zones that each of them uses.
    #[error(
        "the events of {url} have {size} octets with their time zones, more than {times} times the {limit} that limits.max_response_size allows: nothing of it is used"
    )]
    TooManyZones {
        /// What was asked, as it may be shown.
        url: String,
        /// Octets of all objects.
        size: usize,
        /// How many times the limit they may have.
        times: usize,
        /// The limit.
        limit: usize,
    },
    /// Something else than a calendar, such as a web page.
    #[error("{url} answers with {answer} instead of a calendar: {error}")]
    NotACalendar {
        /// What was asked, as it may be shown.
        url: String,
        /// The media type of the answer, or that it is empty.
        answer: String,
        /// What is wrong.
        error: ParseError,
    },
    /// An answer that does not end as a calendar does.
    #[error("the answer of {url} ends before its END:VCALENDAR: it was cut off, and nothing of it is used")]
    CutOff {
        /// What was asked, as it may be shown.
        url: String,
    },
    /// A part of the program ended.
    #[error("the calendar could not be read: {0}")]
    Aborted(String),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IcsError {
    /// What `error` of the client means.
    pub(super) fn of_http(error: HttpError) -> IcsError {
        match error {
            HttpError::Client(error) => IcsError::Settings(error.to_string()),
            HttpError::Unreachable { url, reason } => IcsError::Unreachable { url: shown_text(&url), reason },
            HttpError::Broken { url, reason } => IcsError::Broken { url: shown_text(&url), reason },
            HttpError::Tls { url, reason } => IcsError::Tls { url: shown_text(&url), reason },
            HttpError::Timeout { url, seconds, next } => IcsError::Timeout { url: shown_text(&url), seconds, next },
            HttpError::TooLarge { url, limit } => IcsError::TooLarge { url: shown_text(&url), limit },
            HttpError::Redirected { url, to }
            | HttpError::Unencrypted { url, to, .. }
            | HttpError::Moved { url, to } => IcsError::Unencrypted { url: shown_text(&url), to: shown_text(&to) },
            HttpError::RedirectLoop { url, limit } => IcsError::RedirectLoop { url: shown_text(&url), limit },
        }
    }

    /// How long the server asks to be left alone (Retry-After), where it does.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            IcsError::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server may be down. `is_silent`: it has not answered anything in this sync.
    pub(super) fn is_outage(&self, is_silent: bool) -> bool {
        match self {
            IcsError::Unreachable { .. } => true,
            IcsError::Unavailable { status, retry_after: None, .. } => *status != 429,
            IcsError::Timeout { .. } | IcsError::Broken { .. } => is_silent,
            _ => false,
        }
    }
}

//! What can go wrong between a CalDAV server and its calendars, said so that an admin can act on it.

use std::time::Duration;

use crate::source::contract::StoreError;

use super::xml::XmlError;

/// Why a sync of a CalDAV server, or a part of it, failed. URLs in the messages hold no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CaldavError {
    /// The settings cannot be used, or a file that they name cannot.
    #[error("{0}")]
    Settings(String),
    /// The authorization server gives no access token for the refresh token.
    #[error("{0}")]
    TokenRefused(String),
    /// There is no access token now.
    #[error("{reason}")]
    NoToken {
        /// Why.
        reason: String,
        /// How long the authorization server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer: no connection, or no name.
    #[error(
        "{url} cannot be reached ({reason}): is the server running, and is the address right? It is tried again; its known alarms stay scheduled"
    )]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// A connection that broke off, and the next one as well.
    #[error(
        "{url} did not answer to the end ({reason}): the server's log may say why; it is tried again, and known alarms stay scheduled"
    )]
    Broken {
        /// What was asked.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// TLS fails: mostly a certificate that is not to be trusted.
    #[error("there is no secure connection to {url}: {reason}; it is tried again, and its known alarms stay scheduled")]
    Tls {
        /// What was asked.
        url: String,
        /// Why, in a few words.
        reason: String,
    },
    /// No answer in time.
    #[error(
        "{url} did not answer within {seconds} s: it is tried again, and waited for {next} s then; raise the source's timeout if the server is always that slow"
    )]
    Timeout {
        /// What was asked.
        url: String,
        /// How long it was waited for, seconds.
        seconds: u64,
        /// How long it is waited for the next time, seconds.
        next: u64,
    },
    /// 401.
    #[error("{url} does not accept the login (401){offers}: check {keys} of the source")]
    Unauthorized {
        /// What was asked.
        url: String,
        /// What stands in the way besides a wrong secret, for the sentence.
        offers: String,
        /// The keys that say how to log in, for the sentence.
        keys: String,
    },
    /// 403.
    #[error("{url} may not be read with this login (403): check its rights on the server, and the source's url")]
    Forbidden {
        /// What was asked.
        url: String,
    },
    /// 404, 410.
    #[error("{url} does not exist, or not for this login ({status}): check the source's url")]
    NotFound {
        /// What was asked.
        url: String,
        /// The status of the response.
        status: u16,
    },
    /// 429, 502, 503, 504 and the like.
    #[error("{url} is not available now ({status}): it is tried again, and its known alarms stay scheduled")]
    Unavailable {
        /// What was asked.
        url: String,
        /// The status of the response.
        status: u16,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    #[error(
        "{url} answers {method} with status {status}: the server's log may say why; it is tried again, and its known alarms stay scheduled"
    )]
    Status {
        /// What was asked.
        url: String,
        /// The method of the request.
        method: &'static str,
        /// The status of the response.
        status: u16,
    },
    /// A redirection that is not followed.
    #[error(
        "{url} redirects to {to}, where the login is not sent: if that is the right server, write {to} as the source's url"
    )]
    Redirected {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// An object that is said to be on another server.
    #[error("{url} lists {href}, which is not on this server: the login is not sent there, and it is not read")]
    Elsewhere {
        /// The calendar.
        url: String,
        /// Where the object would be.
        href: String,
    },
    /// A redirection to the same server without encryption.
    #[error(
        "{url} redirects to {to}, without encryption, and the login is not sent there: the server does not know that it is behind https (X-Forwarded-Proto tells it); or write {instead} as the source's url"
    )]
    Unencrypted {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
        /// The address to write in its place.
        instead: String,
    },
    /// A redirection within the server that is not followed.
    #[error(
        "{url} redirects to {to}, where another user's calendars may be: if that is the right address, write it as the source's url"
    )]
    Moved {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// The account is not the one that it was.
    #[error(
        "{url} leads to the account {now} and led to {before}: its known alarms stay scheduled; if the new one is right, restart Reveille"
    )]
    AnotherAccount {
        /// What was asked.
        url: String,
        /// The account that it led to.
        before: String,
        /// The account that it leads to.
        now: String,
    },
    /// Redirections without an end.
    #[error(
        "{url} redirects more than {limit} times (limits.max_redirects): check the source's url; it is tried again, and its known alarms stay scheduled"
    )]
    RedirectLoop {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// What answers calls itself by a part of the path that it was asked for, and that part leads elsewhere.
    #[error(
        "{url} answers with hrefs outside of it ({href}), which lead nowhere: a proxy takes {prefix} off the path and the server does not know; tell the server its prefix (Radicale: the header X-Script-Name), or let the proxy pass the whole path on"
    )]
    Stripped {
        /// What was asked.
        url: String,
        /// The href.
        href: String,
        /// The part of the path that is missing.
        prefix: String,
    },
    /// Not WebDAV.
    #[error(
        "{url} is not a calendar server: it answers {method} with {answer} instead of a multistatus; check the source's url; it is tried again, and its known alarms stay scheduled"
    )]
    NotDav {
        /// What was asked.
        url: String,
        /// The method of the request.
        method: &'static str,
        /// What came in the place of a multistatus.
        answer: String,
    },
    /// A multistatus that cannot be read.
    #[error("{url} answers {method} with {error}; it is tried again, and its known alarms stay scheduled")]
    Xml {
        /// What was asked.
        url: String,
        /// The method of the request.
        method: &'static str,
        /// What is wrong in it.
        error: XmlError,
    },
    /// More than is read.
    #[error(
        "{url} answers with more than the {limit} octets that limits.max_response_size allows; it is tried again, and its known alarms stay scheduled"
    )]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// No users besides the login itself.
    #[error(
        "{url} lists no user to this login but its own: check that it is the login of an administrator, or name the users with users_file or users_command"
    )]
    NoUsers {
        /// What was asked.
        url: String,
    },
    /// A list of users that the server has cut off (507).
    #[error("{url} does not list its users to the end (507): nothing of the list is used")]
    UsersCut {
        /// What was asked.
        url: String,
    },
    /// More users than are read.
    #[error("the server lists more than {limit} users: name those that are wanted with users_file or users_command")]
    TooManyUsers {
        /// The limit.
        limit: usize,
    },
    /// Nothing to watch.
    #[error(
        "no calendars were found at {url} (asked: {asked}): write the address of the calendars as the source's url; it is tried again, and its known alarms stay scheduled"
    )]
    NothingFound {
        /// What was asked.
        url: String,
        /// The addresses that were asked.
        asked: String,
    },
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CaldavError {
    /// Whether the same may well succeed a little later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            CaldavError::Unreachable { .. }
            | CaldavError::Broken { .. }
            | CaldavError::Tls { .. }
            | CaldavError::Timeout { .. }
            | CaldavError::Unavailable { .. }
            | CaldavError::NoToken { .. }
            | CaldavError::Store(_) => true,
            CaldavError::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// How long the server asks to be left alone (Retry-After), where it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CaldavError::Unavailable { retry_after, .. } | CaldavError::NoToken { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server says that there is nothing, or nothing for this login.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, CaldavError::Forbidden { .. } | CaldavError::NotFound { .. })
    }

    /// Whether what answers is no WebDAV: a web page, or something that does not know the method.
    pub(super) fn is_no_dav(&self) -> bool {
        matches!(self, CaldavError::NotDav { .. } | CaldavError::Status { status: 405 | 501, .. })
    }

    /// Whether it concerns the whole account, so that there is no point in going on with its other calendars.
    pub(super) fn concerns_the_account(&self) -> bool {
        match self {
            CaldavError::Settings(_)
            | CaldavError::TokenRefused(_)
            | CaldavError::NoToken { .. }
            | CaldavError::Unreachable { .. }
            | CaldavError::Tls { .. }
            | CaldavError::Unauthorized { .. }
            | CaldavError::Store(_) => true,
            // A wish to be left alone is meant for all requests.
            CaldavError::Unavailable { status, retry_after, .. } => *status == 429 || retry_after.is_some(),
            _ => false,
        }
    }

    /// Whether it is what a server answers that is down or overloaded, and also one that fails at this request alone:
    /// what becomes of other requests tells.
    pub(super) fn may_concern_the_server(&self) -> bool {
        matches!(self, CaldavError::Timeout { .. } | CaldavError::Broken { .. } | CaldavError::Unavailable { .. })
            && !self.concerns_the_account()
    }

    /// Whether the server may be another one afterwards: it was away, or not itself. A wish to be asked less often is
    /// no such failure.
    pub(super) fn breaks_trust(&self) -> bool {
        !matches!(
            self,
            CaldavError::Unavailable { status: 429, .. }
                | CaldavError::Settings(_)
                | CaldavError::TokenRefused(_)
                | CaldavError::NoToken { .. }
                | CaldavError::Store(_)
        )
    }

    /// Whether the address is not (or no longer) what it was taken for.
    pub(super) fn is_wrong_address(&self) -> bool {
        matches!(
            self,
            CaldavError::NotFound { .. }
                | CaldavError::Status { .. }
                | CaldavError::NotDav { .. }
                | CaldavError::Forbidden { .. }
                | CaldavError::Redirected { .. }
                | CaldavError::Unencrypted { .. }
                | CaldavError::Moved { .. }
                | CaldavError::RedirectLoop { .. }
                | CaldavError::Xml { .. }
        )
    }
}

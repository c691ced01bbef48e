//! What the answer of a receiver means for the notification that it answers. Pure.

use std::time::Duration;

use serde_json::Value;

/// The answer of a receiver.
#[derive(Debug)]
pub struct ReceiverAnswer<'a> {
    /// The status code.
    pub status: u16,
    /// Retry-After, bounded.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub text: &'a str,
    /// The body, if that is JSON.
    pub json: Value,
}

/// What becomes of a notification after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerVerdict {
    /// The receiver has it.
    Delivered,
    /// It is sent again, after the time that the receiver asks for.
    Later(Option<Duration>),
    /// It will never be accepted.
    Never,
    /// Nothing is accepted until the settings are corrected.
    Settings,
}

impl<'a> ReceiverAnswer<'a> {
    /// The answer with `status` and a body that begins with `text`.
    pub fn new(status: u16, retry_after: Option<Duration>, text: &'a str) -> ReceiverAnswer<'a> {
        ReceiverAnswer { status, retry_after, text, json: serde_json::from_str(text).unwrap_or_default() }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// What it means by its status alone (RFC 9110, 15).
    pub fn by_status(&self) -> AnswerVerdict {
        match self.status {
            200..=299 => AnswerVerdict::Delivered,
            401 => AnswerVerdict::Settings,
            408 | 425 | 429 => AnswerVerdict::Later(self.retry_after),
            400..=499 => AnswerVerdict::Never,
            _ => AnswerVerdict::Later(self.retry_after),
        }
    }

    /// Likewise, from a service that we know: 403 and 404 say that the address, the token or the rights are wrong,
    /// whatever the message. `is_ours` says whether its success looks as it should: another answer comes from something
    /// else at that address, which has not sent the message on.
    pub fn of_service(&self, is_ours: bool) -> AnswerVerdict {
        match self.status {
            200..=299 if is_ours => AnswerVerdict::Delivered,
            200..=299 | 401 | 403 | 404 | 405 | 410 => AnswerVerdict::Settings,
            _ => self.by_status(),
        }
    }
}

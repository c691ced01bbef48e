//! Presets: what services expect, and what their answers mean. One file for each service, with pure functions.
//!
//! A preset is a row of [`PRESETS`]: the keys that it needs, the request that it makes of an alarm, and how it reads
//! the answer.

use reqwest::Url;
use serde_json::Value;

use super::answer::{AnswerVerdict, ReceiverAnswer};
use super::summary::AlarmSummary;
use crate::http::Method;

mod apprise;
mod chat;
mod gotify;
mod home_assistant;
mod matrix;
mod ntfy;
mod pushover;
mod telegram;

/// All presets.
pub const PRESETS: &[Preset] = &[
    ntfy::PRESET,
    gotify::PRESET,
    matrix::PRESET,
    chat::SLACK,
    chat::MATTERMOST,
    apprise::PRESET,
    home_assistant::PRESET,
    pushover::PRESET,
    telegram::PRESET,
];

/// POST (RFC 9110, 9.3.3).
const POST: Method = Method::new("POST");

/// A service that messages are sent to.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// As it is written: `ntfy`.
    pub name: &'static str,
    /// The address, where it is always the same.
    pub url: Option<&'static str>,
    /// How the token is sent.
    pub token: TokenUse,
    /// Whom messages go to, if the address and the token do not say so.
    pub recipient: RecipientKey,
    /// Whether messages have a priority.
    pub has_priority: bool,
    /// Whether messages have tags.
    pub has_tags: bool,
    /// Makes the request.
    pub request: fn(&MessageTarget<'_>, &AlarmSummary) -> ServiceRequest,
    /// Reads the answer.
    pub verdict: fn(&ReceiverAnswer<'_>) -> AnswerVerdict,
}

/// How a service wants its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// In Authorization, if there is one; or a name and a password.
    Login,
    /// In Authorization.
    Bearer,
    /// Elsewhere: the request contains it.
    Inside,
}

/// Which key says whom messages go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientKey {
    /// None.
    None,
    /// `room`: the id of a room of Matrix.
    Room,
    /// `chat_id`: a number, or the `@name` of a channel.
    ChatId,
    /// `user_key_file` and its like: a secret.
    UserKey,
}

/// How urgent messages are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Without a sound.
    Low,
    /// As the service does it.
    #[default]
    Normal,
    /// Before others.
    High,
    /// Even where the user wants quiet.
    Urgent,
}

/// What messages of a sink have in common.
#[derive(Clone, Debug, Default)]
pub struct MessageOptions {
    /// How urgent they are.
    pub priority: Priority,
    /// Their tags.
    pub tags: Vec<String>,
    /// What a tap on them opens; none: the page on which the alarm can be answered.
    pub click_url: Option<String>,
}

/// Where messages go.
#[derive(Debug)]
pub struct MessageTarget<'a> {
    /// The address of the configuration.
    pub url: &'a Url,
    /// The token; empty unless it is sent inside.
    pub token: &'a str,
    /// Whom they go to; empty where the service does not ask.
    pub recipient: &'a str,
    /// What they have in common.
    pub options: &'a MessageOptions,
}

impl MessageTarget<'_> {
    /// What a tap on the message about `alarm` opens; empty for nothing.
    fn click<'a>(&'a self, alarm: &'a AlarmSummary) -> &'a str {
        self.options.click_url.as_deref().unwrap_or(&alarm.answer_url)
    }

    /// The address below that of the configuration.
    fn below(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// A request to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRequest {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Names and values, besides those that say who asks and what the body is.
    pub headers: Vec<(&'static str, String)>,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl ServiceRequest {
    /// A POST of `json` to `url`.
    fn post(url: Url, json: &Value) -> ServiceRequest {
        ServiceRequest {
            method: POST,
            url,
            headers: Vec::new(),
            content_type: "application/json",
            body: json.to_string(),
        }
    }
}

/// `text` for HTML; a line break is `line_break`.
fn html(text: &str, line_break: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str(line_break),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;

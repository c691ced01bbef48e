//! Pushover (<https://pushover.net/api>): a POST of a form with the token of an application and the key of a user.

use serde_json::Value;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, Priority, RecipientKey, ServiceRequest, TokenUse};
use crate::text::shortened;

/// Characters of a message and of an address.
const LONGEST: usize = 1_000;
const LONGEST_URL: usize = 512;
/// Seconds: how often an urgent message is repeated until the user confirms it, and for how long.
const REPEAT: &str = "60";
const EXPIRE: &str = "3600";

/// `preset = "pushover"`
pub const PRESET: Preset = Preset {
    name: "pushover",
    url: Some("https://api.pushover.net/1/messages.json"),
    token: TokenUse::Inside,
    recipient: RecipientKey::UserKey,
    has_priority: true,
    has_tags: false,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let (text, due) = (alarm.text(), alarm.due.to_string());
    let message = shortened(&text, LONGEST);
    let mut fields = vec![
        ("token", target.token),
        ("user", target.recipient),
        ("title", &alarm.title),
        ("message", &message),
        ("timestamp", &due),
    ];
    match target.options.priority {
        Priority::Low => fields.push(("priority", "-1")),
        Priority::Normal => {}
        Priority::High => fields.push(("priority", "1")),
        Priority::Urgent => fields.extend([("priority", "2"), ("retry", REPEAT), ("expire", EXPIRE)]),
    }
    let click = target.click(alarm);
    if !click.is_empty() && click.len() <= LONGEST_URL {
        fields.push(("url", click));
        if click == alarm.answer_url {
            fields.push(("url_title", &alarm.answer_label));
        }
    }
    let mut form = target.url.clone();
    form.query_pairs_mut().clear().extend_pairs(fields);
    ServiceRequest {
        content_type: "application/x-www-form-urlencoded",
        body: form.query().unwrap_or_default().to_owned(),
        ..ServiceRequest::post(target.url.clone(), &Value::Null)
    }
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    let is_invalid = |key: &str| answer.json.get(key).and_then(Value::as_str) == Some("invalid");
    match answer.status {
        // No message with this token or to this user will be accepted.
        400 if is_invalid("token") || is_invalid("user") => AnswerVerdict::Settings,
        _ => answer.of_service(answer.json.get("status").and_then(Value::as_u64) == Some(1)),
    }
}

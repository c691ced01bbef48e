//! Gotify (<https://gotify.net/docs/pushmsg>): a POST to `/message` with the token of an application.

use serde_json::json;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, Priority, RecipientKey, ServiceRequest, TokenUse};

/// `preset = "gotify"`
pub const PRESET: Preset = Preset {
    name: "gotify",
    url: None,
    token: TokenUse::Inside,
    recipient: RecipientKey::None,
    has_priority: true,
    has_tags: false,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let mut json = json!({
        "title": alarm.title,
        "message": alarm.text(),
        // Up to 3 without a sound, from 8 on above everything else.
        "priority": match target.options.priority {
            Priority::Low => 2,
            Priority::Normal => 5,
            Priority::High => 8,
            Priority::Urgent => 10,
        },
    });
    let click = target.click(alarm);
    if let Some(keys) = json.as_object_mut().filter(|_| !click.is_empty()) {
        keys.insert("extras".to_owned(), json!({ "client::notification": { "click": { "url": click } } }));
    }
    let post = ServiceRequest::post(target.below(&["message"]), &json);
    ServiceRequest { headers: vec![("X-Gotify-Key", target.token.to_owned())], ..post }
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    answer.of_service(answer.json.get("id").is_some_and(serde_json::Value::is_number))
}

//! Home Assistant (<https://developers.home-assistant.io/docs/api/rest/>): a POST to `/api/services/notify/NAME`, which
//! performs an action of the kind notify, such as that of a phone with its app.

use serde_json::json;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, Priority, RecipientKey, ServiceRequest, TokenUse};

/// `preset = "home-assistant"`
pub const PRESET: Preset = Preset {
    name: "home-assistant",
    url: None,
    token: TokenUse::Bearer,
    recipient: RecipientKey::None,
    has_priority: true,
    has_tags: false,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    // On a phone, one with the same tag takes the place of the first.
    let mut data = json!({ "tag": alarm.id });
    if let Some(keys) = data.as_object_mut() {
        let click = target.click(alarm);
        if !click.is_empty() {
            // The keys of iOS and of Android.
            keys.insert("url".to_owned(), click.into());
            keys.insert("clickAction".to_owned(), click.into());
        }
        let level = match target.options.priority {
            Priority::Low => Some("passive"),
            Priority::Normal => None,
            Priority::High | Priority::Urgent => Some("time-sensitive"),
        };
        if let Some(level) = level {
            keys.insert("push".to_owned(), json!({ "interruption-level": level }));
        }
        if level == Some("time-sensitive") {
            // Android wakes a phone that sleeps for these two.
            keys.insert("ttl".to_owned(), 0.into());
            keys.insert("priority".to_owned(), "high".into());
        }
    }
    let json = json!({ "title": alarm.title, "message": alarm.text(), "data": data });
    ServiceRequest::post(target.url.clone(), &json)
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    match answer.status {
        // There is no such action, or it does not take these keys: no message will do.
        400 => AnswerVerdict::Settings,
        _ => answer.of_service(answer.json.is_array() || answer.json.is_object()),
    }
}

//! The Apprise API (<https://github.com/caronc/apprise-api>): a POST to `/notify/KEY`, whose configuration names the
//! services that messages go to.

use serde_json::json;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, RecipientKey, ServiceRequest, TokenUse};

/// `preset = "apprise"`
pub const PRESET: Preset = Preset {
    name: "apprise",
    url: None,
    token: TokenUse::Login,
    recipient: RecipientKey::None,
    has_priority: false,
    has_tags: true,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let mut body = alarm.text();
    let click = target.click(alarm);
    if !click.is_empty() {
        body.push_str(&format!("\n{click}"));
    }
    let mut json = json!({ "title": alarm.title, "body": body, "type": "info", "format": "text" });
    if let Some(keys) = json.as_object_mut().filter(|_| !target.options.tags.is_empty()) {
        // What has any of them is sent to.
        keys.insert("tag".to_owned(), target.options.tags.join(",").into());
    }
    ServiceRequest::post(target.url.clone(), &json)
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    match answer.status {
        // There is no configuration with this key, or it is empty.
        204 => AnswerVerdict::Settings,
        // At least one of the services has not taken it.
        424 => AnswerVerdict::Later(answer.retry_after),
        _ => answer.of_service(true),
    }
}

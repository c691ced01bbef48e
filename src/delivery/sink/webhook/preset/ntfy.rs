//! ntfy (<https://docs.ntfy.sh/publish/#publish-as-json>): a POST of JSON to the server, which names the topic. The
//! address of the configuration is that of the topic.

use serde_json::json;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, Priority, RecipientKey, ServiceRequest, TokenUse};
use crate::text::{first_octets, percent_decoded};

/// The tag, which is shown as an emoji, where no tags are written.
const TAG: &str = "alarm_clock";
/// Octets of a message: a longer one becomes an attachment.
const LONGEST: usize = 3_800;

/// `preset = "ntfy"`
pub const PRESET: Preset = Preset {
    name: "ntfy",
    url: None,
    token: TokenUse::Login,
    recipient: RecipientKey::None,
    has_priority: true,
    has_tags: true,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let mut server = target.url.clone();
    if let Ok(mut path) = server.path_segments_mut() {
        path.pop_if_empty().pop().push("");
    }
    let topic = target.url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let topic = String::from_utf8_lossy(&percent_decoded(topic)).into_owned();
    let tags = match target.options.tags.is_empty() {
        true => vec![TAG.to_owned()],
        false => target.options.tags.clone(),
    };
    let mut json = json!({
        "topic": topic,
        "title": alarm.title,
        "message": first_octets(&alarm.text(), LONGEST),
        "priority": match target.options.priority {
            Priority::Low => 2,
            Priority::Normal => 3,
            Priority::High => 4,
            Priority::Urgent => 5,
        },
        "tags": tags,
        // One that comes again takes the place of the first.
        "sequence_id": alarm.id,
    });
    if let Some(keys) = json.as_object_mut() {
        let click = target.click(alarm);
        if !click.is_empty() {
            keys.insert("click".to_owned(), click.into());
        }
        if !alarm.answer_url.is_empty() {
            let action =
                json!({ "action": "view", "label": alarm.answer_label, "url": alarm.answer_url, "clear": true });
            keys.insert("actions".to_owned(), json!([action]));
        }
    }
    ServiceRequest::post(server, &json)
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    answer.of_service(answer.json.get("id").is_some_and(serde_json::Value::is_string))
}

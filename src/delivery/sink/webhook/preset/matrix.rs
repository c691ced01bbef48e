//! Matrix (<https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid>): a
//! PUT of a message into a room. The id of the transaction is that of the notification, so that the server drops one
//! that comes again.

use std::time::Duration;

use serde_json::json;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, RecipientKey, ServiceRequest, TokenUse, html};
use crate::http::Method;

/// `preset = "matrix"`
pub const PRESET: Preset = Preset {
    name: "matrix",
    url: None,
    token: TokenUse::Bearer,
    recipient: RecipientKey::Room,
    has_priority: false,
    has_tags: false,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let mut plain = vec![alarm.title.as_str()];
    plain.extend(alarm.lines());
    let mut rich = format!("<strong>{}</strong>", html(&alarm.title, "<br>"));
    for line in alarm.lines() {
        rich.push_str(&format!("<br>{}", html(line, "<br>")));
    }
    let click = target.click(alarm);
    if !click.is_empty() {
        let label = if click == alarm.answer_url { &alarm.answer_label } else { click };
        plain.push(click);
        rich.push_str(&format!("<br><a href=\"{}\">{}</a>", html(click, ""), html(label, "")));
    }
    let json = json!({
        "msgtype": "m.text",
        "body": plain.join("\n"),
        "format": "org.matrix.custom.html",
        "formatted_body": rich,
        // No text of an event calls anybody in the room.
        "m.mentions": {},
    });
    let path = ["_matrix", "client", "v3", "rooms", target.recipient, "send", "m.room.message", &alarm.id];
    ServiceRequest { method: Method::new("PUT"), ..ServiceRequest::post(target.below(&path), &json) }
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    let pause = answer.json.get("retry_after_ms").and_then(serde_json::Value::as_u64).map(Duration::from_millis);
    let code = answer.json.get("errcode").and_then(serde_json::Value::as_str).unwrap_or_default();
    match (answer.status, code) {
        (_, "M_LIMIT_EXCEEDED") => AnswerVerdict::Later(answer.retry_after.or(pause)),
        _ => answer.of_service(answer.json.get("event_id").is_some_and(serde_json::Value::is_string)),
    }
}

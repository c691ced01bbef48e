//! Telegram (<https://core.telegram.org/bots/api#sendmessage>): a POST to `/botTOKEN/sendMessage`. The token is part of
//! the address, so that this is not shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, Priority, RecipientKey, ServiceRequest, TokenUse, html};

/// `preset = "telegram"`
pub const PRESET: Preset = Preset {
    name: "telegram",
    url: Some("https://api.telegram.org/"),
    token: TokenUse::Inside,
    recipient: RecipientKey::ChatId,
    has_priority: true,
    has_tags: false,
    request,
    verdict,
};

fn request(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let mut lines = vec![format!("<b>{}</b>", html(&alarm.title, "\n"))];
    lines.extend(alarm.lines().into_iter().map(|line| html(line, "\n")));
    let click = target.click(alarm);
    if !click.is_empty() {
        let label = if click == alarm.answer_url { &alarm.answer_label } else { click };
        lines.push(format!("<a href=\"{}\">{}</a>", html(click, ""), html(label, "")));
    }
    let json = json!({
        "chat_id": target.recipient,
        "text": lines.join("\n"),
        "parse_mode": "HTML",
        "link_preview_options": { "is_disabled": true },
        "disable_notification": target.options.priority == Priority::Low,
    });
    ServiceRequest::post(target.below(&[&format!("bot{}", target.token), "sendMessage"]), &json)
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    let parameter = |key: &str| answer.json.get("parameters").and_then(|parameters| parameters.get(key));
    let pause = parameter("retry_after").and_then(Value::as_u64).map(Duration::from_secs);
    let said = answer.json.get("description").and_then(Value::as_str).unwrap_or_default();
    match answer.status {
        429 => AnswerVerdict::Later(pause.or(answer.retry_after)),
        // There is no such chat, or it has got another id.
        400 if said.contains("chat not found") || parameter("migrate_to_chat_id").is_some() => AnswerVerdict::Settings,
        _ => answer.of_service(answer.json.get("ok") == Some(&Value::Bool(true))),
    }
}

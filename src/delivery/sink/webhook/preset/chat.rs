//! The incoming webhooks of Slack (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>) and
//! Mattermost (<https://developers.mattermost.com/integrate/webhooks/incoming/>): a POST of a text, to which the answer
//! is `ok`. Their marks for emphasis, links and mentions differ.

use serde_json::json;

use super::super::answer::{AnswerVerdict, ReceiverAnswer};
use super::super::summary::AlarmSummary;
use super::{MessageTarget, Preset, RecipientKey, ServiceRequest, TokenUse};

/// What Mattermost reads as marks.
const MARKS: &str = "\\`*_~[](){}#<>|!+-:";

/// `preset = "slack"`
pub const SLACK: Preset = Preset {
    name: "slack",
    url: None,
    token: TokenUse::Login,
    recipient: RecipientKey::None,
    has_priority: false,
    has_tags: false,
    request: slack,
    verdict,
};

/// `preset = "mattermost"`
pub const MATTERMOST: Preset = Preset { name: "mattermost", request: mattermost, ..SLACK };

fn slack(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    // These three alone have a meaning everywhere; mentions and links are in angle brackets.
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut lines = vec![format!("*{}*", escaped(&alarm.title))];
    lines.extend(alarm.lines().into_iter().map(escaped));
    let click = target.click(alarm);
    if !click.is_empty() {
        lines.push(match click == alarm.answer_url {
            true => format!("<{}|{}>", escaped(click), escaped(&alarm.answer_label)),
            false => format!("<{}>", escaped(click)),
        });
    }
    let json = json!({ "text": lines.join("\n"), "unfurl_links": false, "unfurl_media": false });
    ServiceRequest::post(target.url.clone(), &json)
}

fn mattermost(target: &MessageTarget<'_>, alarm: &AlarmSummary) -> ServiceRequest {
    let mut lines = vec![format!("**{}**", unmarked(&alarm.title))];
    lines.extend(alarm.lines().into_iter().map(unmarked));
    let click = target.click(alarm);
    if !click.is_empty() {
        lines.push(match click == alarm.answer_url {
            true => format!("[{}]({click})", alarm.answer_label),
            false => format!("<{click}>"),
        });
    }
    ServiceRequest::post(target.url.clone(), &json!({ "text": lines.join("\n") }))
}

/// `text`, of which Mattermost reads nothing as a mark or as a mention.
fn unmarked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if MARKS.contains(c) {
            out.push('\\');
        }
        out.push(c);
        if c == '@' {
            // A blank without a width: @all would call everybody.
            out.push('\u{200b}');
        }
    }
    out
}

fn verdict(answer: &ReceiverAnswer<'_>) -> AnswerVerdict {
    let is_ok = answer.text.trim() == "ok" || answer.json.get("ok") == Some(&true.into());
    answer.of_service(is_ok)
}

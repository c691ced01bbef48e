use std::time::Duration;

use serde_json::json;

use super::*;

/// The preset `name`.
fn preset(name: &str) -> &'static Preset {
    PRESETS.iter().find(|preset| preset.name == name).unwrap()
}

/// An alarm whose texts have what services read as marks.
fn alarm() -> AlarmSummary {
    AlarmSummary {
        title: "Tea & <b>*cake*</b>".into(),
        when: "Thu 19 Nov 2015, 08:30".into(),
        location: "Room @all".into(),
        answer_url: "https://reveille.test/answer/a?b&c".into(),
        answer_label: "Dismiss or snooze".into(),
        id: "0123".into(),
        due: 1_447_914_600,
        ..AlarmSummary::default()
    }
}

/// The request of the preset `name` for `alarm` to `url`.
fn request(name: &str, url: &str, alarm: &AlarmSummary, options: &MessageOptions) -> ServiceRequest {
    let url = Url::parse(url).unwrap();
    let recipient = match preset(name).recipient {
        RecipientKey::Room => "!room:matrix.test",
        RecipientKey::ChatId => "-100",
        RecipientKey::UserKey => "user & key",
        RecipientKey::None => "",
    };
    (preset(name).request)(&MessageTarget { url: &url, token: "1:token", recipient, options }, alarm)
}

/// The body of `request`, and `METHOD address`.
fn json_of(request: &ServiceRequest) -> (String, Value) {
    (format!("{} {}", request.method.name(), request.url), serde_json::from_str(&request.body).unwrap())
}

#[test]
fn messages_are_as_each_service_documents_them() {
    let (alarm, options) = (alarm(), MessageOptions::default());
    let made = |name: &str, url: &str| json_of(&request(name, url, &alarm, &options));
    let text = "Thu 19 Nov 2015, 08:30\nRoom @all";
    let answer = "https://reveille.test/answer/a?b&c";
    let ntfy = json!({ "topic": "my topic", "title": "Tea & <b>*cake*</b>", "message": text, "priority": 3,
        "tags": ["alarm_clock"], "sequence_id": "0123", "click": answer,
        "actions": [{ "action": "view", "label": "Dismiss or snooze", "url": answer, "clear": true }] });
    assert_eq!(made("ntfy", "https://n.test/sub/my%20topic"), ("POST https://n.test/sub/".into(), ntfy.clone()));
    assert_eq!(made("ntfy", "https://n.test/my%20topic/"), ("POST https://n.test/".into(), ntfy));
    let gotify = json!({ "title": "Tea & <b>*cake*</b>", "message": text, "priority": 5,
        "extras": { "client::notification": { "click": { "url": answer } } } });
    assert_eq!(made("gotify", "https://g.test/sub"), ("POST https://g.test/sub/message".into(), gotify));
    let headers = request("gotify", "https://g.test/", &alarm, &options).headers;
    assert_eq!(headers, [("X-Gotify-Key", "1:token".to_owned())]);
    let matrix = json!({ "msgtype": "m.text", "body": format!("Tea & <b>*cake*</b>\n{text}\n{answer}"),
        "format": "org.matrix.custom.html", "m.mentions": {},
        "formatted_body": "<strong>Tea &amp; &lt;b&gt;*cake*&lt;/b&gt;</strong><br>Thu 19 Nov 2015, 08:30<br>Room @all\
            <br>\
            <a href=\"https://reveille.test/answer/a?b&amp;c\">Dismiss or snooze</a>" });
    let path = "PUT https://m.test/_matrix/client/v3/rooms/!room:matrix.test/send/m.room.message/0123";
    assert_eq!(made("matrix", "https://m.test"), (path.into(), matrix));
    let slack = json!({ "unfurl_links": false, "unfurl_media": false,
        "text": "*Tea &amp; &lt;b&gt;*cake*&lt;/b&gt;*\nThu 19 Nov 2015, 08:30\nRoom @all\n\
            <https://reveille.test/answer/a?b&amp;c|Dismiss or snooze>" });
    assert_eq!(made("slack", "https://s.test/services/x"), ("POST https://s.test/services/x".into(), slack));
    let mattermost = json!({ "text": "**Tea & \\<b\\>\\*cake\\*\\</b\\>**\nThu 19 Nov 2015, 08\\:30\nRoom @\u{200b}all\n\
        [Dismiss or snooze](https://reveille.test/answer/a?b&c)" });
    assert_eq!(made("mattermost", "https://m.test/hooks/x"), ("POST https://m.test/hooks/x".into(), mattermost));
    let apprise = json!({ "title": "Tea & <b>*cake*</b>", "body": format!("{text}\n{answer}"), "type": "info",
        "format": "text" });
    assert_eq!(made("apprise", "https://a.test/notify/k"), ("POST https://a.test/notify/k".into(), apprise));
    let home = json!({ "title": "Tea & <b>*cake*</b>", "message": text,
        "data": { "tag": "0123", "url": answer, "clickAction": answer } });
    let url = "https://h.test/api/services/notify/phone";
    assert_eq!(made("home-assistant", url), (format!("POST {url}"), home));
    let telegram = json!({ "chat_id": "-100", "parse_mode": "HTML", "link_preview_options": { "is_disabled": true },
        "disable_notification": false,
        "text": "<b>Tea &amp; &lt;b&gt;*cake*&lt;/b&gt;</b>\nThu 19 Nov 2015, 08:30\nRoom @all\n\
            <a href=\"https://reveille.test/answer/a?b&amp;c\">Dismiss or snooze</a>" });
    let path = "POST https://api.telegram.org/bot1:token/sendMessage";
    assert_eq!(made("telegram", preset("telegram").url.unwrap()), (path.into(), telegram));
    let pushover = request("pushover", preset("pushover").url.unwrap(), &alarm, &options);
    assert_eq!((pushover.url.as_str(), pushover.content_type), (PUSHOVER, "application/x-www-form-urlencoded"));
    assert_eq!(
        pushover.body,
        "token=1%3Atoken&user=user+%26+key&title=Tea+%26+%3Cb%3E*cake*%3C%2Fb%3E&message=Thu+19+Nov+2015%2C+08%3A30%0A\
         Room+%40all&timestamp=1447914600&url=https%3A%2F%2Freveille.test%2Fanswer%2Fa%3Fb%26c&url_title=Dismiss+or+snooze"
    );
}

const PUSHOVER: &str = "https://api.pushover.net/1/messages.json";

#[test]
fn priority_tags_and_what_a_tap_opens_are_options() {
    let bare = AlarmSummary { title: "Tea".into(), ..AlarmSummary::default() };
    let with = |priority| MessageOptions {
        priority,
        tags: vec!["tea".into(), "cup".into()],
        click_url: Some("https://cal.test/".into()),
    };
    let made = |name: &str, priority| json_of(&request(name, "https://h.test/x", &bare, &with(priority))).1;
    let ntfy = made("ntfy", Priority::Urgent);
    assert_eq!((&ntfy["priority"], &ntfy["tags"]), (&json!(5), &json!(["tea", "cup"])));
    assert_eq!((&ntfy["click"], ntfy.get("actions")), (&json!("https://cal.test/"), None));
    assert_eq!(ntfy["message"], "Tea", "a message without a text is refused");
    assert_eq!(made("gotify", Priority::High)["priority"], 8);
    assert_eq!(made("apprise", Priority::Normal)["tag"], "tea,cup");
    assert_eq!(made("telegram", Priority::Low)["disable_notification"], true);
    let home = made("home-assistant", Priority::High)["data"].clone();
    assert_eq!((&home["ttl"], &home["push"]["interruption-level"]), (&json!(0), &json!("time-sensitive")));
    let pushover = request("pushover", PUSHOVER, &bare, &with(Priority::Urgent)).body;
    assert!(pushover.ends_with("&priority=2&retry=60&expire=3600&url=https%3A%2F%2Fcal.test%2F"), "{pushover}");
    let slack = made("slack", Priority::Normal);
    assert_eq!(slack["text"], "*Tea*\n<https://cal.test/>");
}

#[test]
fn answers_are_read_as_each_service_documents_them() {
    let later = |seconds| AnswerVerdict::Later(Some(Duration::from_secs(seconds)));
    let (never, settings) = (AnswerVerdict::Never, AnswerVerdict::Settings);
    for (name, status, body, expected) in [
        ("ntfy", 200, "{\"id\":\"a1\",\"event\":\"message\"}", AnswerVerdict::Delivered),
        ("ntfy", 200, "<html>Welcome</html>", settings),
        ("ntfy", 403, "{\"code\":40301,\"http\":403,\"error\":\"forbidden\"}", settings),
        ("ntfy", 413, "{\"code\":41301,\"http\":413}", never),
        ("ntfy", 429, "{\"code\":42908,\"http\":429,\"error\":\"daily message quota reached\"}", later(7)),
        ("gotify", 200, "{\"id\":25,\"appid\":5}", AnswerVerdict::Delivered),
        ("gotify", 401, "{\"error\":\"Unauthorized\",\"errorCode\":401}", settings),
        ("matrix", 200, "{\"event_id\":\"$a\"}", AnswerVerdict::Delivered),
        ("matrix", 200, "{}", settings),
        ("matrix", 429, "{\"errcode\":\"M_LIMIT_EXCEEDED\",\"retry_after_ms\":2000}", later(7)),
        ("matrix", 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"not in room\"}", settings),
        ("matrix", 401, "{\"errcode\":\"M_UNKNOWN_TOKEN\"}", settings),
        ("matrix", 413, "{\"errcode\":\"M_TOO_LARGE\"}", never),
        ("slack", 200, "ok", AnswerVerdict::Delivered),
        ("slack", 200, "{\"ok\":true}", AnswerVerdict::Delivered),
        ("slack", 200, "<html>Log in</html>", settings),
        ("slack", 400, "invalid_payload", never),
        ("slack", 404, "no_service", settings),
        ("slack", 410, "channel_is_archived", settings),
        ("slack", 500, "rollup_error", later(7)),
        ("mattermost", 200, "ok", AnswerVerdict::Delivered),
        ("apprise", 200, "{\"error\":\"\"}", AnswerVerdict::Delivered),
        ("apprise", 204, "", settings),
        ("apprise", 424, "{\"error\":\"One or more notifications were not sent.\"}", later(7)),
        ("home-assistant", 200, "[]", AnswerVerdict::Delivered),
        ("home-assistant", 400, "400: Bad Request", settings),
        ("home-assistant", 500, "500: Internal Server Error", later(7)),
        ("pushover", 200, "{\"status\":1,\"request\":\"a\"}", AnswerVerdict::Delivered),
        ("pushover", 200, "{\"status\":0}", settings),
        ("pushover", 400, "{\"user\":\"invalid\",\"errors\":[\"user key is invalid\"],\"status\":0}", settings),
        ("pushover", 400, "{\"errors\":[\"message cannot be blank\"],\"status\":0}", never),
        ("pushover", 429, "{\"errors\":[\"application is over its quota\"],\"status\":0}", later(7)),
        ("telegram", 200, "{\"ok\":true,\"result\":{}}", AnswerVerdict::Delivered),
        ("telegram", 429, "{\"ok\":false,\"error_code\":429,\"parameters\":{\"retry_after\":35}}", later(35)),
        ("telegram", 400, "{\"ok\":false,\"description\":\"Bad Request: chat not found\"}", settings),
        ("telegram", 400, "{\"ok\":false,\"parameters\":{\"migrate_to_chat_id\":-1001}}", settings),
        ("telegram", 400, "{\"ok\":false,\"description\":\"Bad Request: message is too long\"}", never),
        ("telegram", 403, "{\"ok\":false,\"description\":\"Forbidden: bot was blocked by the user\"}", settings),
        ("telegram", 404, "{\"ok\":false,\"description\":\"Not Found\"}", settings),
    ] {
        let answer = ReceiverAnswer::new(status, Some(Duration::from_secs(7)), body);
        assert_eq!((preset(name).verdict)(&answer), expected, "{name} {status} {body}");
    }
    let body = "{\"errcode\":\"M_LIMIT_EXCEEDED\",\"retry_after_ms\":2000}";
    assert_eq!((preset("matrix").verdict)(&ReceiverAnswer::new(429, None, body)), later(2));
}

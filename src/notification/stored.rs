//! A notification as the ledger keeps it: one line of JSON. It is rendered before it is due, and says when it fired
//! only from then on.

use crate::time::UtcMillis;

/// The key whose value is the instant of firing, with the comma and the quotes around it. In a text a quote has a
/// backslash before it, so that this is found nowhere else.
const TIMESTAMP: &str = ",\"timestamp\":\"";

/// The JSON of a notification, of which nothing but the timestamp changes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredNotification<'a> {
    json: &'a str,
}

impl<'a> StoredNotification<'a> {
    /// That which `json` is, as `Notification::to_json` writes it.
    pub fn new(json: &'a str) -> StoredNotification<'a> {
        StoredNotification { json }
    }

    /// The JSON with the timestamp `at`; as it is, if it has none.
    pub fn fired_at(self, at: UtcMillis) -> String {
        let parts = self.json.rsplit_once(TIMESTAMP).and_then(|(head, rest)| Some((head, rest.split_once('"')?.1)));
        match parts {
            Some((head, tail)) => format!("{head}{TIMESTAMP}{at}\"{tail}"),
            None => self.json.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired_at(json: &str) -> String {
        StoredNotification::new(json).fired_at(UtcMillis(1_000))
    }

    #[test]
    fn the_timestamp_is_replaced_wherever_it_is() {
        let (old, new) = ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:01.000Z");
        for (before, after) in
            [("{\"uid\":\"a\"", "}"), ("{\"uid\":\"a\"", ",\"x\":\"y\"}"), ("{\"a\":[\"b\"]", ",\"c\":1}")]
        {
            let with = |at: &str| format!("{before},\"timestamp\":\"{at}\"{after}");
            assert_eq!(fired_at(&with(old)), with(new));
        }
    }

    #[test]
    fn a_text_that_looks_like_a_timestamp_stays() {
        let of = |text: &str, at: &str| serde_json::json!([text]).to_string() + ",\"timestamp\":\"" + at + "\"}";
        for text in [",\"timestamp\":\"x\"}", "\\,\"timestamp\":\"", "\",\"timestamp\":\"x"] {
            assert_eq!(fired_at(&of(text, "")), of(text, "1970-01-01T00:00:01.000Z"), "{text}");
            let after =
                |at: &str| format!("{{\"a\":1,\"timestamp\":\"{at}\",\"summary\":{}}}", serde_json::json!(text));
            assert_eq!(fired_at(&after("")), after("1970-01-01T00:00:01.000Z"), "{text}");
        }
    }

    #[test]
    fn what_has_no_timestamp_stays_as_it_is() {
        for json in ["", "{}", "{\"uid\":\"timestamp\"}", "{\"a\":1,\"timestamp\":\""] {
            assert_eq!(fired_at(json), json);
        }
    }
}

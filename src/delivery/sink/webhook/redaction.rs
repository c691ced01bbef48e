//! Keeps secrets out of what receivers answer, which is recorded and shown: some repeat what they were sent.

use reqwest::Url;

use crate::text::percent_decoded;

/// What is shown in the place of a secret.
const HIDDEN: &str = "…";
/// Octets of the shortest text that is hidden: a shorter one is no secret, and part of many words.
const SHORTEST: usize = 6;

/// Texts that no message may have.
#[derive(Debug, Default)]
pub struct Redaction(Vec<String>);

impl Redaction {
    /// Hides the paths and the queries of `urls`, and `secrets`.
    pub fn new<'a>(urls: [&Url; 2], secrets: impl IntoIterator<Item = &'a str>) -> Redaction {
        let parts =
            urls.into_iter().flat_map(|url| [url.path().trim_end_matches('/'), url.query().unwrap_or_default()]);
        let decoded = |text: &str| String::from_utf8_lossy(&percent_decoded(text)).into_owned();
        let all = parts.flat_map(|text| [text.to_owned(), decoded(text)]).chain(secrets.into_iter().map(str::to_owned));
        let mut hidden: Vec<String> = all.filter(|text| text.len() >= SHORTEST).collect();
        // One that is part of another one comes later.
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Redaction(hidden)
    }

    /// `text` without them.
    pub fn applied(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_repeats_the_path_or_a_secret_shows_nothing_of_it() {
        let url = Url::parse("https://hooks.example.org/bot12:Ab%2Fc/send/?key=sesame").unwrap();
        let redaction = Redaction::new([&url, &url], ["token-of-mine", "x"]);
        let said = "POST /bot12:Ab%2Fc/send: no x for token-of-mine, /bot12:Ab/c/send?key=sesame";
        assert_eq!(redaction.applied(said), "POST …: no x for …, …?…");
    }
}

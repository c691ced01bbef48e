//! Changing an object on a server: it is read, and put back only if nobody has changed it meanwhile (RFC 9110, 13.1.1).

use std::collections::HashSet;

use reqwest::Url;

use super::CaldavSource;
use super::href;
use super::requests::calendar_multiget;
use super::requests::put_object;
use crate::http::{HttpResponse, Method};
use crate::source::edit::{EDIT_ATTEMPTS, EditError, TextEdit};

impl CaldavSource {
    /// Changes the object `object` of the calendar `calendar`, both as the server spells them, by `edit`.
    ///
    /// # Errors
    /// [`EditError`] when it is not changed.
    pub async fn edit(&self, calendar: &str, object: &str, edit: &TextEdit) -> Result<(), EditError> {
        let url = href::resolve(&self.url, calendar).and_then(|calendar| href::resolve(&calendar, object));
        let elsewhere = || EditError::Failed(format!("{object} is not on the server of {}", self.url));
        let mut url = url.ok_or_else(elsewhere)?;
        // The lines that were sent and were not there before.
        let mut sent: Option<Vec<String>> = None;
        for _ in 0..EDIT_ATTEMPTS {
            let present = self.present(&mut url, object).await?;
            // The server may have taken what it was sent and have said so on a connection that broke.
            if sent.as_ref().is_some_and(|sent| has_lines(&present.body, sent)) {
                return Ok(());
            }
            // A weak one does not do for If-Match (RFC 9110, 8.8.3.2).
            let Some(etag) = present.etag.filter(|etag| !etag.starts_with("W/")) else {
                let reason = format!("{url}: the server names no strong entity tag, so it cannot be changed safely");
                return Err(EditError::Failed(reason));
            };
            let text = String::from_utf8(edit(&present.body)?)
                .map_err(|_| EditError::Refused(format!("{url} is not UTF-8, and is not written")))?;
            sent = Some(new_lines(&present.body, &text));
            let request = put_object::request(&url, &etag, text);
            let method = request.method;
            let response = self.dav.send(request).await;
            let response = response
                .map_err(|error| EditError::Failed(format!("{error} (it is not known whether {url} was written)")))?;
            match response.status {
                200..=299 => return Ok(()),
                412 => {}
                404 | 410 => return Err(EditError::Gone(url.to_string())),
                _ => return Err(EditError::Failed(self.dav.refusal(method, &response).to_string())),
            }
        }
        Err(EditError::Busy(url.to_string()))
    }

    /// The object at `url`, whose href is `object`; where the server knows it by another URL, `url` becomes that one.
    async fn present(&self, url: &mut Url, object: &str) -> Result<HttpResponse, EditError> {
        let get = async |url: &Url| {
            let response = self.dav.send(calendar_multiget::request_one(url)).await;
            response.map_err(|error| EditError::Failed(error.to_string()))
        };
        let mut response = get(url).await?;
        let is_unknown = matches!(response.status, 400 | 404 | 410);
        if is_unknown && let Some(literal) = href::resolve_literally(url, object) {
            let second = get(&literal).await?;
            if second.status == 200 {
                (*url, response) = (literal, second);
            }
        }
        match response.status {
            200 => Ok(response),
            404 | 410 => Err(EditError::Gone(url.to_string())),
            _ => Err(EditError::Failed(self.dav.refusal(Method::GET, &response).to_string())),
        }
    }
}

/// The lines of `text` that are not in `before`.
fn new_lines(before: &[u8], text: &str) -> Vec<String> {
    let before = String::from_utf8_lossy(before);
    let known: HashSet<&str> = before.lines().collect();
    text.lines().filter(|line| !known.contains(line)).map(str::to_owned).collect()
}

/// Whether `text` has each of `lines`, in whatever order.
fn has_lines(text: &[u8], lines: &[String]) -> bool {
    let text = String::from_utf8_lossy(text);
    let there: HashSet<&str> = text.lines().collect();
    lines.iter().all(|line| there.contains(line.as_str()))
}

//! Changing an object on a server: it is read, and put back only if nobody has changed it meanwhile (RFC 9110, 13.1.1).

use reqwest::Url;

use super::CaldavSource;
use super::href;
use super::requests::calendar_multiget;
use super::requests::put_object;
use crate::http::HttpResponse;
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
        for _ in 0..EDIT_ATTEMPTS {
            let present = self.present(&mut url, object).await?;
            let Some(etag) = present.etag else {
                let reason =
                    format!("{url}: the server does not say which version it is, so it cannot be changed safely");
                return Err(EditError::Failed(reason));
            };
            let text = edit(&present.body).map_err(EditError::Refused)?;
            let text = String::from_utf8(text)
                .map_err(|_| EditError::Refused(format!("{url} is not UTF-8, and is not written")))?;
            let request = put_object::request(&url, &etag, text);
            let method = request.method;
            let response = self.dav.send(request).await.map_err(|error| EditError::Failed(error.to_string()))?;
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
            _ => Err(EditError::Failed(self.dav.refusal(crate::http::Method::GET, &response).to_string())),
        }
    }
}

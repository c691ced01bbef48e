//! Fetching objects of a calendar: many at a time, and one by one where that does not work.

use std::collections::HashMap;

use reqwest::Url;

use super::error::CaldavError;
use super::href;
use super::http::{Http, Verb};
use super::requests::members::Member;
use super::requests::objects::{self, Object};

/// Objects asked for in one request.
pub const CHUNK: usize = 100;

/// What came of fetching some objects.
#[derive(Debug, Default)]
pub struct Fetched {
    pub objects: Vec<(Member, Object)>,
    /// Those that are not there any more.
    pub missing: Vec<Member>,
    /// Those that the server does not give away, and why.
    pub refused: Vec<(Member, CaldavError)>,
    /// Those that may come at the next look.
    pub later: Vec<(Member, CaldavError)>,
}

/// Fetches objects of one calendar.
#[derive(Debug)]
pub struct Fetcher<'a> {
    http: &'a Http,
    calendar: &'a Url,
    /// No: a request for one object failed that a GET then answered.
    multiget_works: bool,
}

impl<'a> Fetcher<'a> {
    pub fn new(http: &'a Http, calendar: &'a Url) -> Fetcher<'a> {
        Fetcher { http, calendar, multiget_works: true }
    }

    /// Fetches `members`, at most [`CHUNK`] of them.
    ///
    /// # Errors
    /// Only those that concern the whole account.
    pub async fn fetch(&mut self, members: &[Member]) -> Result<Fetched, CaldavError> {
        let mut fetched = Fetched::default();
        let mut chunks = vec![members];
        while let Some(chunk) = chunks.pop() {
            if self.multiget_works && !chunk.is_empty() {
                match self.multiget(chunk, &mut fetched).await {
                    Ok(()) => continue,
                    Err(error) if error.concerns_the_account() => return Err(error),
                    Err(_) if chunk.len() > 1 => {
                        // One of them may be what the server stumbles over, or together they are too large.
                        let (first, second) = chunk.split_at(chunk.len() / 2);
                        chunks.extend([second, first]);
                        continue;
                    }
                    Err(_) => {}
                }
            }
            for member in chunk {
                let objects = fetched.objects.len();
                self.get(member, &mut fetched).await?;
                self.multiget_works &= fetched.objects.len() == objects;
            }
        }
        Ok(fetched)
    }

    /// Asks for all of `chunk` in one request, and singly for those that the answer lacks.
    async fn multiget(&self, chunk: &[Member], fetched: &mut Fetched) -> Result<(), CaldavError> {
        let hrefs = chunk.iter().map(|member| member.href.as_str());
        let answer = self.http.multistatus(objects::request(self.calendar, hrefs)).await?;
        let objects = objects::parse(answer.document()).map_err(|error| answer.error(error))?;
        let mut by_key: HashMap<String, Object> =
            objects.into_iter().map(|object| (href::key(&object.href), object)).collect();
        for member in chunk {
            match by_key.remove(&href::key(&member.href)) {
                Some(object) => fetched.objects.push((member.clone(), object)),
                // Some servers do not find what they themselves have listed.
                None => self.get(member, fetched).await?,
            }
        }
        Ok(())
    }

    async fn get(&self, member: &Member, fetched: &mut Fetched) -> Result<(), CaldavError> {
        let Some(url) = href::resolve(self.calendar, &member.href) else {
            let error = CaldavError::Redirected { url: self.calendar.to_string(), to: member.href.clone() };
            fetched.refused.push((member.clone(), error));
            return Ok(());
        };
        let error = match self.http.send(objects::request_one(&url)).await {
            Ok(answer) if answer.status == 200 => {
                // The entity tag of the listing: that of a GET may be of a packed form.
                let etag = member.etag.clone().or(answer.etag);
                let object = Object { href: member.href.clone(), etag, modified: answer.modified, text: answer.body };
                fetched.objects.push((member.clone(), object));
                return Ok(());
            }
            Ok(answer) if matches!(answer.status, 404 | 410) => {
                fetched.missing.push(member.clone());
                return Ok(());
            }
            Ok(answer) => self.http.refusal(Verb::Get, &answer),
            Err(error) => error,
        };
        match error {
            error if error.concerns_the_account() => return Err(error),
            error if error.is_transient() => fetched.later.push((member.clone(), error)),
            error => fetched.refused.push((member.clone(), error)),
        }
        Ok(())
    }
}

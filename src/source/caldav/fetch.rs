//! Fetching objects of a calendar: many at a time, and one by one where that does not work.

use std::collections::{HashMap, HashSet};

use reqwest::Url;

use super::dav_client::DavClient;
use super::error::CaldavError;
use super::href;
use super::requests::calendar_multiget::{self, FetchedObject};
use super::requests::list_etags::Member;
use crate::http::Method;

/// Objects asked for in one request.
pub const CHUNK: usize = 100;

/// Objects that are asked for one by one where only some of them need to be known, or where the server may be
/// overloaded.
const SINGLY: usize = 10;

/// Objects that may fail one after the other as where their server is down or overloaded, before no more are asked for
/// singly.
const MAX_FAILING: usize = 3;

/// What came of fetching some objects.
#[derive(Debug, Default)]
pub struct Fetched {
    pub objects: Vec<(Member, FetchedObject)>,
    /// Those that are not there any more.
    pub missing: Vec<Member>,
    /// Those that the server does not give away, and why.
    pub refused: Vec<(Member, CaldavError)>,
    /// Those that may come at the next sync, and why not at this one.
    pub later: Vec<(Member, String)>,
}

/// Objects that a list leaves out, and that are there nevertheless.
#[derive(Debug, Default)]
pub struct Unlisted {
    /// Given, or perhaps there.
    pub there: Vec<Member>,
    /// Not given away, by a server that knows of them.
    pub refused: Vec<Member>,
}

impl Fetched {
    /// Notes that `members` were not asked for, since their server fails.
    fn not_asked_for(&mut self, members: &[Member]) {
        self.later.extend(members.iter().map(|member| {
            (member.clone(), format!("{} is not asked for while its server fails at the others", member.href))
        }));
    }
}

/// Fetches objects of one calendar.
#[derive(Debug)]
pub struct Fetcher<'a> {
    dav: &'a DavClient,
    calendar: &'a Url,
    /// No: a request for one object failed that a GET then answered.
    multiget_works: bool,
    /// Objects that failed one after the other, as where their server is down or overloaded.
    failing: usize,
    /// A few were asked for all over those that were left, and all failed so: no more are asked for.
    gives_none: bool,
}

impl<'a> Fetcher<'a> {
    pub fn new(dav: &'a DavClient, calendar: &'a Url) -> Fetcher<'a> {
        Fetcher { dav, calendar, multiget_works: true, failing: 0, gives_none: false }
    }

    /// Fetches `members`, at most [`CHUNK`] of them.
    ///
    /// # Errors
    /// Only those that concern the whole account.
    pub async fn fetch(&mut self, members: &[Member]) -> Result<Fetched, CaldavError> {
        let mut fetched = Fetched::default();
        let mut chunks = vec![members];
        while let Some(chunk) = chunks.pop() {
            if self.gives_none {
                fetched.not_asked_for(chunk);
                continue;
            }
            if self.multiget_works && !chunk.is_empty() {
                match self.multiget(chunk, &mut fetched).await {
                    Ok(()) => continue,
                    Err(error) if error.concerns_the_account() => return Err(error),
                    Err(error) if error.may_concern_the_server() && chunk.len() <= SINGLY => {}
                    Err(error)
                        if error.may_concern_the_server()
                            && chunk.len() == members.len()
                            && !self.gives_some(chunk).await? =>
                    {
                        self.gives_none = true;
                        chunks.push(chunk);
                        continue;
                    }
                    Err(_) if chunk.len() > 1 => {
                        // One of them may be what the server stumbles over, or together they are too large.
                        let (first, second) = chunk.split_at(chunk.len() / 2);
                        chunks.extend([second, first]);
                        continue;
                    }
                    Err(_) => {}
                }
            }
            let objects = fetched.objects.len();
            let is_asked = self.singly(chunk, &mut fetched).await?;
            self.gives_none = !is_asked && !self.multiget_works;
            self.multiget_works &= chunk.len() > 1 || fetched.objects.len() == objects;
        }
        Ok(fetched)
    }

    /// Asks for `members` one by one. False when the server failed at one after the other, and at a few of those that
    /// were left: the rest is then not asked for.
    async fn singly(&mut self, members: &[Member], fetched: &mut Fetched) -> Result<bool, CaldavError> {
        self.failing = 0;
        for (index, member) in members.iter().enumerate() {
            if self.failing >= MAX_FAILING {
                let rest = members.get(index..).unwrap_or_default();
                if !self.gives_some(rest).await? {
                    fetched.not_asked_for(rest);
                    return Ok(false);
                }
            }
            self.get(member, fetched).await?;
        }
        Ok(true)
    }

    /// Whether the server gives some of `members`, as far as the first, the last and one between them tell.
    async fn gives_some(&mut self, members: &[Member]) -> Result<bool, CaldavError> {
        let mut fetched = Fetched::default();
        let mut few = vec![0, members.len() / 2, members.len().saturating_sub(1)];
        few.dedup();
        self.failing = 0;
        for member in few.into_iter().filter_map(|index| members.get(index)) {
            self.get(member, &mut fetched).await?;
            if self.failing == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks for all of `chunk` in one request, and singly for those that the response lacks.
    async fn multiget(&mut self, chunk: &[Member], fetched: &mut Fetched) -> Result<(), CaldavError> {
        let hrefs = chunk.iter().map(|member| member.href.as_str());
        let request = calendar_multiget::request(self.calendar, hrefs);
        let answer = self.dav.multistatus(request, calendar_multiget::ObjectCollector::default).await?;
        let mut by_key: HashMap<String, FetchedObject> =
            answer.found.into_iter().map(|object| (href::key(&object.href), object)).collect();
        let mut lacking = Vec::new();
        for member in chunk {
            match by_key.remove(&href::key(&member.href)) {
                Some(object) => {
                    fetched.objects.push((member.clone(), FetchedObject { href: member.href.clone(), ..object }));
                }
                // Some servers do not find what they themselves have listed.
                None => lacking.push(member.clone()),
            }
        }
        self.singly(&lacking, fetched).await?;
        Ok(())
    }

    async fn get(&mut self, member: &Member, fetched: &mut Fetched) -> Result<(), CaldavError> {
        let Some(url) = href::resolve(self.calendar, &member.href) else {
            let error = CaldavError::Elsewhere { url: self.calendar.to_string(), href: member.href.clone() };
            fetched.refused.push((member.clone(), error));
            return Ok(());
        };
        let mut answer = self.dav.send(calendar_multiget::request_one(&url)).await;
        let mut href = member.href.clone();
        // Some servers name an object with a bare percent sign, and do not find it by that name.
        let is_unknown = answer.as_ref().is_ok_and(|answer| matches!(answer.status, 400 | 404 | 410));
        if is_unknown && let Some(literal) = href::resolve_literally(self.calendar, &member.href) {
            let second = self.dav.send(calendar_multiget::request_one(&literal)).await;
            if second.as_ref().is_ok_and(|second| second.status == 200) {
                if href::is_doubtful(&href) {
                    literal.path().clone_into(&mut href);
                }
                answer = second;
            }
        }
        let error = match answer {
            Ok(answer) if answer.status == 200 => {
                let etag = entity_tag(member, answer.etag);
                let object = FetchedObject { href, etag, modified: answer.modified, text: answer.body };
                fetched.objects.push((member.clone(), object));
                self.failing = 0;
                return Ok(());
            }
            Ok(answer) if matches!(answer.status, 404 | 410) => {
                fetched.missing.push(member.clone());
                self.failing = 0;
                return Ok(());
            }
            Ok(answer) => self.dav.refusal(Method::GET, &answer),
            Err(error) => error,
        };
        if error.concerns_the_account() {
            return Err(error);
        }
        self.failing = if error.may_concern_the_server() { self.failing + 1 } else { 0 };
        if error.is_transient() {
            fetched.later.push((member.clone(), error.to_string()));
        } else {
            fetched.refused.push((member.clone(), error));
        }
        Ok(())
    }

    /// Which of `members` are there, or may be, and which are refused: asked for together, and a few of those that do
    /// not come singly. None of what is not asked for is among them.
    ///
    /// # Errors
    /// Only those that concern the whole account.
    pub async fn still_there(&mut self, members: &[Member]) -> Result<Unlisted, CaldavError> {
        let asked = members.get(..members.len().min(CHUNK)).unwrap_or(members);
        let hrefs = asked.iter().map(|member| member.href.as_str());
        let request = calendar_multiget::request(self.calendar, hrefs);
        let objects = match self.dav.multistatus(request, calendar_multiget::ObjectCollector::default).await {
            Ok(answer) => answer.found,
            Err(error) if error.concerns_the_account() => return Err(error),
            Err(_) => Vec::new(),
        };
        let came: HashSet<String> = objects.iter().map(|object| href::key(&object.href)).collect();
        let (mut there, missing): (Vec<Member>, Vec<Member>) =
            asked.iter().cloned().partition(|member| came.contains(&href::key(&member.href)));
        let mut fetched = Fetched::default();
        self.singly(missing.get(..missing.len().min(SINGLY)).unwrap_or_default(), &mut fetched).await?;
        there.extend(fetched.objects.into_iter().map(|(member, _)| member));
        there.extend(fetched.later.into_iter().map(|(member, _)| member));
        let is_there =
            |error: &CaldavError| matches!(error, CaldavError::Forbidden { .. } | CaldavError::TooLarge { .. });
        let refused = fetched.refused.into_iter().filter(|(_, error)| is_there(error)).map(|(member, _)| member);
        Ok(Unlisted { there, refused: refused.collect() })
    }
}

/// The entity tag of what a GET answered: that of the listing, unless the response has another one. Of a packed
/// response it may have an ending of its own.
fn entity_tag(member: &Member, given: Option<String>) -> Option<String> {
    match (&member.etag, given) {
        (Some(named), Some(given)) if !is_same_etag(named, &given) => Some(given),
        (Some(named), _) => Some(named.clone()),
        (None, given) => given,
    }
}

/// Whether two entity tags mean the same version, however they are written.
pub fn is_same_etag(one: &str, other: &str) -> bool {
    bare(one) == bare(other)
}

fn bare(etag: &str) -> &str {
    let etag = etag.trim();
    let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    ["-gzip", ";gzip", "--gzip", "-deflate", "-br"].iter().find_map(|end| etag.strip_suffix(end)).unwrap_or(etag)
}

#[cfg(test)]
mod tests {
    use super::is_same_etag;

    #[test]
    fn one_version_has_several_spellings() {
        assert!(is_same_etag("\"a\"", "W/\"a\"") && is_same_etag("a", "\"a\"") && is_same_etag("\"a-gzip\"", "\"a\""));
        assert!(!is_same_etag("\"a\"", "\"b\"") && !is_same_etag("\"a-1\"", "\"a\""));
    }
}

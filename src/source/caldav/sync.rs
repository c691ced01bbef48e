//! Bringing one calendar up to date: its changes, or a comparison of the whole, go to the intake in batches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;

use reqwest::Url;

use super::error::CaldavError;
use super::fetch::{CHUNK, Fetched, Fetcher};
use super::href;
use super::http::Http;
use super::position::{Position, Step, is_suspicious};
use super::requests::calendars::Listed;
use super::requests::members::{self, Member};
use super::requests::{changes, members::parse as parse_members};
use crate::source::{Batch, CalendarSeen, Change, Checkpoint, Intake, Taken};
use crate::time::UtcMillis;

/// Changes in one batch.
const BATCH: usize = 500;
/// Octets of text after which a batch is handed in although it has fewer changes.
const BATCH_OCTETS: usize = 4 * 1024 * 1024;

/// One calendar and all that is needed to look at it.
#[derive(Debug)]
pub struct Sync<'a, I> {
    pub http: &'a Http,
    pub intake: &'a I,
    /// The source's name.
    pub source: &'a str,
    pub calendar: &'a CalendarSeen,
    pub url: &'a Url,
    pub listed: &'a Listed,
    pub looked_at: UtcMillis,
    /// The server's clock when it listed.
    pub server_now: UtcMillis,
    /// Octets of one object; larger ones are left out.
    pub max_size: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub changes: usize,
    /// Objects that are left out, one sentence each.
    pub faults: Vec<String>,
    /// The server did not answer a change report with one.
    pub report_refused: bool,
}

/// What is to be handed in.
#[derive(Debug, Default)]
struct News {
    /// To be fetched.
    put: Vec<Member>,
    /// Hrefs as the ledger spells them.
    gone: Vec<String>,
}

/// What the ledger has, by the key of the href: the href as it spells it, and the entity tag.
type Kept = HashMap<String, (String, String)>;

impl<I: Intake> Sync<'_, I> {
    /// Does `step`, which is not [`Step::Rest`], for a calendar that was read up to `position`.
    ///
    /// # Errors
    /// Of a request, or of the intake. What was handed in stays; the next look begins where this one did.
    pub async fn run(&self, position: Option<&Position>, step: Step) -> Result<Outcome, CaldavError> {
        let kept = self.kept().await?;
        let mut outcome = Outcome::default();
        let mut compared = UtcMillis(position.map_or(self.looked_at.0, |position| position.more.compared));
        let mut reported = None;
        if let (Step::Changes(token), Some(position)) = (step, position) {
            match self.reported(&token, position, &kept).await {
                Ok(news) => reported = news,
                Err(error) if error.concerns_the_account() => return Err(error),
                Err(_) => outcome.report_refused = true,
            }
        }
        let news = match reported {
            Some(Reported { news, is_all: true }) => news,
            doubtful => {
                compared = self.looked_at;
                let suspects = doubtful.map(|reported| reported.news.put).unwrap_or_default();
                self.compared(&kept, &suspects).await?
            }
        };
        let position = Position::after(self.listed, compared, self.server_now);
        self.hand_in(news, &kept, position.checkpoint(), &mut outcome).await?;
        Ok(outcome)
    }

    async fn kept(&self) -> Result<Kept, CaldavError> {
        let etags = self.intake.etags(self.source, &self.calendar.href).await?;
        Ok(etags.into_iter().map(|(href, etag)| (href::key(&href), (href, etag))).collect())
    }

    /// What the server reports as changed since `token`; none where its report cannot be relied on at all.
    async fn reported(&self, token: &str, position: &Position, kept: &Kept) -> Result<Option<Reported>, CaldavError> {
        let Some(changes) = self.pages(token).await? else { return Ok(None) };
        let mut news = News::default();
        let mut named = 0;
        let is_empty = changes.is_empty();
        for (key, change) in changes {
            match (change, kept.get(&key)) {
                (Some(member), known) => {
                    named += 1;
                    let is_known = known.is_some_and(|(_, etag)| Some(etag) == member.etag.as_ref());
                    if !is_known || position.more.blurred || counts_writes(&member) {
                        news.put.push(member);
                    }
                }
                (None, Some((href, _))) => news.gone.push(href.clone()),
                // Deleted before it was ever seen.
                (None, None) => {}
            }
        }
        // A server that has lost the token may answer with all that there is, and then it does not say what is gone.
        let may_be_everything = named > 0 && named * 2 >= kept.len();
        let misses_something = is_empty && is_suspicious(position, self.listed);
        Ok(Some(Reported { news, is_all: !may_be_everything && !misses_something }))
    }

    /// All pages of a change report: by key what is there, and none for what is gone. None where it does not end well, or
    /// goes on and on.
    async fn pages(&self, token: &str) -> Result<Option<BTreeMap<String, Option<Member>>>, CaldavError> {
        let mut all = BTreeMap::new();
        let mut token = token.to_owned();
        let mut was_cut = false;
        let mut room = self.http.limits().max_changes;
        for _ in 0..self.http.limits().max_pages {
            let answer = self.http.multistatus(changes::request(self.url, &token)).await?;
            let page = changes::parse(answer.document(), self.url.path()).map_err(|error| answer.error(error))?;
            if page.calendar_gone {
                return Ok(None);
            }
            let is_empty = page.put.is_empty() && page.gone.is_empty();
            match room.checked_sub(page.put.len() + page.gone.len()) {
                Some(left) => room = left,
                None => return Ok(None),
            }
            all.extend(page.gone.into_iter().map(|href| (href::key(&href), None)));
            all.extend(page.put.into_iter().map(|member| (href::key(&member.href), Some(member))));
            was_cut |= page.is_cut;
            // Once an answer was cut, the end is an empty page: not all servers say that there is more.
            if !was_cut || (is_empty && !page.is_cut) {
                return Ok(Some(all));
            }
            match page.token {
                Some(next) if next != token => token = next,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The whole calendar compared with `kept`. `suspects` are fetched whatever their entity tags say.
    async fn compared(&self, kept: &Kept, suspects: &[Member]) -> Result<News, CaldavError> {
        let answer = self.http.multistatus(members::request(self.url)).await?;
        let members = parse_members(answer.document(), self.url.path()).map_err(|error| answer.error(error))?;
        let Some(members) = members else {
            return Err(CaldavError::NotFound { url: self.url.to_string(), status: 404 });
        };
        let suspects: HashSet<String> = suspects.iter().map(|member| href::key(&member.href)).collect();
        let mut there = HashSet::new();
        let mut news = News::default();
        for member in members {
            let key = href::key(&member.href);
            let is_known = kept.get(&key).is_some_and(|(_, etag)| Some(etag) == member.etag.as_ref());
            if there.insert(key.clone()) && (!is_known || suspects.contains(&key)) {
                news.put.push(member);
            }
        }
        news.gone = kept.iter().filter(|(key, _)| !there.contains(*key)).map(|(_, (href, _))| href.clone()).collect();
        Ok(news)
    }

    async fn hand_in(
        &self,
        news: News,
        kept: &Kept,
        checkpoint: Checkpoint,
        outcome: &mut Outcome,
    ) -> Result<(), CaldavError> {
        let mut changes: Vec<Change> = news.gone.into_iter().map(|href| Change::Gone { href }).collect();
        let mut later = Vec::new();
        let mut fetcher = Fetcher::new(self.http, self.url);
        let mut octets = 0;
        for chunk in news.put.chunks(CHUNK) {
            if changes.len() + chunk.len() > BATCH || octets > BATCH_OCTETS {
                outcome.changes += changes.len();
                self.apply(mem::take(&mut changes), None).await?;
                octets = 0;
            }
            let fetched = fetcher.fetch(chunk).await?;
            octets += fetched.objects.iter().map(|(_, object)| object.text.len()).sum::<usize>();
            self.sort(fetched, kept, &mut changes, &mut later, outcome);
        }
        outcome.changes += changes.len();
        // Without a checkpoint the next look asks again, and finds those that are missing now.
        self.apply(changes, later.is_empty().then_some(checkpoint)).await?;
        match later.first() {
            Some(first) => Err(CaldavError::Incomplete { count: later.len(), first: first.clone() }),
            None => Ok(()),
        }
    }

    /// Makes changes and faults of what was fetched.
    fn sort(
        &self,
        fetched: Fetched,
        kept: &Kept,
        changes: &mut Vec<Change>,
        later: &mut Vec<String>,
        outcome: &mut Outcome,
    ) {
        let spelled = |member: &Member| match kept.get(&href::key(&member.href)) {
            Some((href, _)) => href.clone(),
            None => member.href.clone(),
        };
        for (member, object) in fetched.objects {
            if object.text.len() > self.max_size {
                let (href, limit) = (&member.href, self.max_size);
                outcome
                    .faults
                    .push(format!("{href} is larger than {limit} octets and left out: see limits.max_object_size"));
                continue;
            }
            let etag = object.etag.or_else(|| member.etag.clone()).unwrap_or_default();
            changes.push(Change::Put { href: spelled(&member), etag, text: object.text, written: object.modified });
        }
        for member in fetched.missing.iter().filter(|member| kept.contains_key(&href::key(&member.href))) {
            changes.push(Change::Gone { href: spelled(member) });
        }
        outcome.faults.extend(fetched.refused.into_iter().map(|(_, error)| format!("an object is left out: {error}")));
        later.extend(fetched.later.into_iter().map(|(_, error)| error.to_string()));
    }

    /// Hands in one batch.
    pub async fn apply(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<Taken, CaldavError> {
        let batch = Batch { calendar: self.calendar.clone(), looked_at: self.looked_at, changes, checkpoint };
        Ok(self.intake.apply(self.source, batch).await?)
    }
}

/// What a change report said.
#[derive(Debug)]
struct Reported {
    news: News,
    /// Nothing speaks against its being complete.
    is_all: bool,
}

/// Whether an entity tag counts the writes to a row, as SOGo's do: after DELETE and PUT it is the same again, whatever
/// the text is.
fn counts_writes(member: &Member) -> bool {
    member.etag.as_deref().is_some_and(|etag| etag.trim_matches('"').starts_with("gcs"))
}

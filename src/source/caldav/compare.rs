//! Comparing a whole calendar with what the ledger has of it. What a listing leaves out is gone only when the listing is
//! whole, the objects that it leaves out are not found by their own addresses either, and, if they are many, a later look
//! says the same.

use std::collections::HashSet;

use super::error::CaldavError;
use super::fetch::{CHUNK, Fetcher};
use super::href;
use super::kept::Kept;
use super::position::compare_every;
use super::requests::members::{self, Member, Members};
use super::sync::{News, Outcome, Sync, Unsettled, Vanished};
use crate::source::Intake;

/// Objects that may vanish at once from a listing, and be half of it or more, without being looked for a second time.
const FEW: usize = 10;
/// Milliseconds between the two looks that find many objects gone.
const SECOND_LOOK: i64 = 30_000;

impl<I: Intake> Sync<'_, I> {
    /// The whole calendar compared with `kept`. `suspects` are fetched whatever their entity tags say.
    ///
    /// # Errors
    /// Of a request; the server's no to the calendar.
    pub(super) async fn compared(
        &self,
        kept: &Kept,
        suspects: &[Member],
        unsettled: &mut Unsettled,
        outcome: &mut Outcome,
    ) -> Result<News, CaldavError> {
        let answer = self.http.multistatus(members::request(self.url)).await?;
        let found = members::parse(answer.document(), self.url.path()).map_err(|error| answer.error(error))?;
        let found = found.map_err(|status| answer.refusal(status))?;
        let is_whole = !found.is_cut && found.unclear.is_empty();
        outcome.objects = found.members.len();
        let every = compare_every(&self.listed.href, outcome.objects);
        let again = if is_whole { unsettled.recheck.pick(&found.members, every, self.looked_at) } else { Vec::new() };
        let mut news = self.listed(found, kept, (suspects, &again));
        if !is_whole {
            outcome.hold(format!("{} is not listed to its end: what is not listed is kept as it is known", self.url));
            return Ok(news);
        }
        let (mut gone, mut respelled) = (Vec::new(), Vec::new());
        for (_, object) in kept.iter().filter(|(key, _)| !news.there.contains(*key)) {
            // The same object by another name, which is put in its place.
            let is_respelled = news.there.contains(&href::literal_key(&object.href));
            if is_respelled { &mut respelled } else { &mut gone }.push(object.href.clone());
        }
        if self.is_believed(&gone, kept, &mut unsettled.vanished, outcome).await? {
            news.gone = gone;
        }
        news.gone.extend(respelled);
        news.is_whole = true;
        Ok(news)
    }

    /// What a listing has and the ledger has not, or not so.
    fn listed(&self, found: Members, kept: &Kept, (suspects, again): (&[Member], &[Member])) -> News {
        let mut suspects: HashSet<String> = suspects.iter().map(|member| kept.key(&member.href)).collect();
        // What names everything is no report of what changed, but the whole listed in another way.
        if suspects.len() > CHUNK && found.members.iter().all(|member| suspects.contains(&kept.key(&member.href))) {
            suspects.clear();
        }
        suspects.extend(again.iter().map(|member| kept.key(&member.href)));
        let mut news = News::default();
        for member in found.members {
            let key = kept.key(&member.href);
            if news.there.insert(key.clone()) && (suspects.contains(&key) || !kept.has(&member)) {
                news.put.push(member);
            }
        }
        news.there.extend(found.unclear.iter().map(|href| kept.key(href)));
        news
    }

    /// Whether objects that a whole listing leaves out are gone.
    async fn is_believed(
        &self,
        gone: &[String],
        kept: &Kept,
        vanished: &mut Vanished,
        outcome: &mut Outcome,
    ) -> Result<bool, CaldavError> {
        let is_much = gone.len() > FEW && gone.len() * 2 >= kept.len();
        if gone.is_empty() {
            vanished.since = None;
            return Ok(true);
        }
        let asked: Vec<Member> = gone.iter().map(|href| Member::new(href, None)).collect();
        let there = Fetcher::new(self.http, self.url).still_there(&asked).await?;
        if let Some(first) = there.first() {
            outcome.hold(format!(
                "{} is there, and {} does not list it: what is not listed is kept as it is known",
                first.href, self.url
            ));
            return Ok(false);
        }
        let since = *vanished.since.get_or_insert(self.looked_at);
        let lasted = self.looked_at.0.saturating_sub(since.0);
        if is_much && !(SECOND_LOOK..).contains(&lasted) {
            vanished.since = Some(since.min(self.looked_at));
            outcome.hold(format!(
                "{} of {} objects of {} are no longer listed: they are kept until another look finds the same",
                gone.len(),
                kept.len(),
                self.url
            ));
            outcome.look_in(SECOND_LOOK.saturating_sub(lasted.max(0)));
            return Ok(false);
        }
        vanished.since = None;
        Ok(true)
    }
}

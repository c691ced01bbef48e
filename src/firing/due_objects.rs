//! Works out the objects that are due: reads their texts and has their firings rendered, on all cores, the shortest
//! texts first and only for so long at a time. What takes longer is left for the background.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::context::about;
use super::parallel::spread;
use super::prepare::{Prepare, Prepared};
use super::render::{ObjectInCalendar, RenderedFirings};
use super::renderer::FiringRenderer;
use crate::calendar::context::CalendarContext;
use crate::calendar::schedule::Schedule;
use crate::ledger::{CalendarRow, DueObject, LedgerError, LongText, ObjectText, ShortTexts, Timer};
use crate::notification::About;
use crate::time::UtcMillis;

/// Objects whose texts are read at a time.
const FEW: usize = 500;
/// Octets of a text above which it is read and worked out alone, and above which that is done in the background.
const LONG: usize = 32 * 1024;
const VERY_LONG: usize = 256 * 1024;
/// How long objects are worked out at a time; the rest waits until what is ready has fired.
const TURN: Duration = Duration::from_millis(200);

/// For when due objects are worked out.
#[derive(Clone, Copy, Debug)]
struct FireTime {
    /// What is due by then fires.
    until: UtcMillis,
    now: UtcMillis,
}

impl Prepare for FiringRenderer {
    async fn prepare(&self, timers: Vec<Timer>, until: UtcMillis, now: UtcMillis) -> Result<Prepared, LedgerError> {
        let ids: Vec<i64> = timers.iter().map(|timer| timer.object).collect();
        let timers: HashMap<i64, Timer> = timers.into_iter().map(|timer| (timer.object, timer)).collect();
        let mut begun = Instant::now();
        let (mut prepared, mut long) = (Prepared::default(), Vec::new());
        for ids in ids.chunks(FEW) {
            let reading = Instant::now();
            let ShortTexts { short, long: others } = self.ledger.short_texts(ids, LONG).await?;
            // Reading has to be done in any case.
            begun += reading.elapsed();
            if begun.elapsed() > TURN && !prepared.due_objects.is_empty() {
                break;
            }
            // They come the shortest first: what takes longest does not keep others waiting.
            for LongText { object, octets } in others {
                if octets > VERY_LONG {
                    prepared.long.extend(timers.get(&object));
                } else {
                    long.push(object);
                }
            }
            sort_out(self.due_objects(&timers, short, FireTime { until, now }, begun).await?, &mut prepared);
        }
        for id in long {
            if begun.elapsed() > TURN && !prepared.due_objects.is_empty() {
                break;
            }
            let text = self.ledger.texts(&[id]).await?;
            sort_out(self.due_objects(&timers, text, FireTime { until, now }, begun).await?, &mut prepared);
        }
        // What was due earlier is recorded earlier.
        prepared.due_objects.sort_unstable_by_key(|due_object| (due_object.timer.due, due_object.timer.object));
        Ok(prepared)
    }

    async fn prepare_alone(
        &self,
        timer: Timer,
        until: UtcMillis,
        now: UtcMillis,
    ) -> Result<Option<DueObject>, LedgerError> {
        let texts = self.ledger.texts(&[timer.object]).await?;
        let timers = HashMap::from([(timer.object, timer)]);
        let due_objects = self.due_objects(&timers, texts, FireTime { until, now }, Instant::now()).await?;
        match due_objects.into_iter().next() {
            Some(Err(_)) => resume_unwind(Box::new("the alarms of an object cannot be worked out")),
            Some(Ok(due_object)) => Ok(Some(due_object)),
            None => Ok(None),
        }
    }

    fn stamp(&self, due_object: DueObject, now: UtcMillis) -> DueObject {
        let firings = due_object.firings.into_iter().map(|firing| self.stamped(firing, now)).collect();
        DueObject { firings, ..due_object }
    }
}

impl FiringRenderer {
    /// The due objects with these `texts`, of which the first of each thread and those within [`TURN`] of
    /// `begun` are worked out; the timer alone where the work panicked.
    async fn due_objects(
        &self,
        timers: &HashMap<i64, Timer>,
        texts: Vec<ObjectText>,
        at: FireTime,
        begun: Instant,
    ) -> Result<Vec<Result<DueObject, Timer>>, LedgerError> {
        let mut calendars: Vec<i64> = texts.iter().map(|text| text.calendar).collect();
        calendars.sort_unstable();
        calendars.dedup();
        let rows: HashMap<i64, CalendarRow> =
            self.ledger.calendars_by_id(&calendars).await?.into_iter().map(|row| (row.id, row)).collect();
        let matching = |text: ObjectText| {
            let timer = timers.get(&text.id).filter(|timer| timer.revision == text.revision)?;
            Some((*timer, text))
        };
        let work: Vec<(Timer, ObjectText)> = texts.into_iter().filter_map(matching).collect();
        let renderer = self.clone();
        let due_objects = spread(work, move |work| {
            let mut contexts: HashMap<i64, (CalendarContext, About)> = HashMap::new();
            let due_object = |(timer, text): (Timer, ObjectText)| {
                let row = rows.get(&text.calendar)?;
                let (context, about) =
                    contexts.entry(row.id).or_insert_with(|| (renderer.context(row), about(&row.info)));
                let object = ObjectInCalendar { row, about, id: text.id, href: &text.href };
                let work = AssertUnwindSafe(|| renderer.due_object(object, context, timer, &text, at));
                Some(catch_unwind(work).map_err(|_| timer))
            };
            let in_time = |(index, work)| (index == 0 || begun.elapsed() <= TURN).then_some(work);
            work.into_iter().enumerate().map_while(in_time).filter_map(due_object).collect()
        });
        Ok(due_objects.await)
    }

    fn due_object(
        &self,
        object: ObjectInCalendar<'_>,
        context: &CalendarContext,
        timer: Timer,
        text: &ObjectText,
        at: FireTime,
    ) -> DueObject {
        let FireTime { until, now } = at;
        let count_cache = text.count_cache.as_deref();
        let due_object = Schedule::of_text(&text.text, context, count_cache, |_, schedule| {
            let after = until.max(timer.due).just_after();
            let RenderedFirings { firings, cut_at } = self.firings(schedule, object, timer.due..after, now);
            let next = cut_at.or_else(|| schedule.next_instance(after));
            let overworked: Vec<String> = schedule.overworked().iter().map(ToString::to_string).collect();
            self.log_faults(object.row, &text.href, &overworked, now);
            DueObject { timer, firings, next }
        });
        due_object.unwrap_or_else(|_| {
            // A bit of it has turned, or limits have become narrower since it was taken in.
            let row = object.row;
            tracing::error!(
                calendar.name = row.info.name,
                object.href = text.href,
                "what is kept of it cannot be read: a limit of [limits] is narrower now, or the ledger is damaged; it does not \
                 fire until it changes or is read again"
            );
            DueObject { timer, firings: Vec::new(), next: None }
        })
    }
}

/// Adds `firings` to `prepared`, and those at which the work panicked to those that are tried alone.
fn sort_out(due_objects: Vec<Result<DueObject, Timer>>, prepared: &mut Prepared) {
    for one in due_objects {
        match one {
            Ok(due_object) => prepared.due_objects.push(due_object),
            Err(timer) => prepared.long.push(timer),
        }
    }
}

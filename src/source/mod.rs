//! Finding out what changed. A source reads a store of calendars and hands batches of changes to an [`SyncStore`];
//! what is inside an object, and where it is kept, it does not know.
//!
//! * [`contract`] is what sources and those who use them agree on, [`sync_source`] what every source can do.
//! * [`directory`], [`caldav`] and [`ics`] are the kinds of sources, which are listed here and nowhere else.

use std::convert::Infallible;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{LimitsConfig, SourceConfig, SourceKind};
use crate::hints::HintReceiver;
use crate::http::Hosts;
use crate::push::PushReceiver;

pub mod caldav;
mod contract;
pub mod directory;
mod edit;
pub mod ics;
mod sync_source;

use caldav::CaldavSource;
pub use contract::{
    Absence, CalendarInfo, Change, ChangeBatch, Checkpoint, DefaultAlarmTexts, Evidence, Known, Obstacle, StoreError,
    SyncError, SyncReport, SyncStore, Taken, WatchError,
};
use directory::{DirectorySource, FsChanges};
pub use edit::{EditError, TextEdit};
use ics::IcsSource;
pub use sync_source::{ReportedChanges, ReportedScope, SyncSource};

/// A source of one of the kinds that there are.
#[derive(Debug)]
pub enum Source {
    /// A watched folder.
    Directory(DirectorySource),
    /// An account on a CalDAV server.
    Caldav(Box<CaldavSource>),
    /// A subscribed calendar.
    Ics(Box<IcsSource>),
}

/// Does `$work` with the source in `$source`, of whichever kind it is.
macro_rules! with_source {
    ($self:expr, $source:ident => $work:expr) => {
        match $self {
            Source::Directory($source) => $work,
            Source::Caldav($source) => $work,
            Source::Ics($source) => $work,
        }
    };
}

impl Source {
    /// The source that `source` configures. `limits` bound what is read; `hosts` is what is known of servers, which
    /// the sources on one server share.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn open(
        source: &SourceConfig,
        limits: &LimitsConfig,
        clock: &Clock,
        hosts: &Hosts,
    ) -> Result<Source, SyncError> {
        Ok(match &source.kind {
            SourceKind::Directory(settings) => {
                let max_size = limits.objects.max_object_size;
                Source::Directory(DirectorySource::new(source, settings, max_size, clock.clone()))
            }
            SourceKind::Caldav(settings) => {
                let caldav = CaldavSource::new(source, settings, limits, clock.clone());
                let caldav = caldav.map_err(|error| SyncError::new(error.to_string(), Obstacle::Other))?;
                Source::Caldav(Box::new(caldav.sharing(hosts)))
            }
            SourceKind::Ics(settings) => {
                Source::Ics(Box::new(IcsSource::new(source, settings, limits, clock.clone()).sharing(hosts)))
            }
        })
    }
}

impl Source {
    /// From now on pushes of its server are subscribed to, if it is a CalDAV account; they arrive at `receiver` and are
    /// hints for `hints`.
    pub fn receive_pushes(&mut self, receiver: PushReceiver, hints: HintReceiver) {
        if let Source::Caldav(source) = self {
            source.receive_pushes(receiver, hints);
        }
    }

    /// Changes the object `object` of the calendar `calendar`, named by their hrefs, by `edit`: it is read, and written
    /// only if nobody changes it meanwhile, or else read again.
    ///
    /// # Errors
    /// [`EditError`] when it is not changed.
    pub async fn edit(&self, calendar: &str, object: &str, edit: &TextEdit) -> Result<(), EditError> {
        match self {
            Source::Directory(source) => source.edit(calendar, object, edit).await,
            Source::Caldav(source) => source.edit(calendar, object, edit).await,
            Source::Ics(_) => Err(EditError::Failed("a subscribed calendar cannot be written to".to_owned())),
        }
    }

    /// Tells its server that it is no longer asked for anything.
    pub async fn end_subscriptions(&mut self) {
        if let Source::Caldav(source) = self {
            source.end_subscriptions().await;
        }
    }
}

/// What a source of one of the kinds has reported.
#[derive(Debug)]
pub enum SourceChanges {
    /// What was touched in a watched folder.
    Directory(FsChanges),
    /// A CalDAV server, or that of a feed, reports nothing by itself.
    Server(Infallible),
}

impl ReportedChanges for SourceChanges {
    fn scope(&self) -> ReportedScope {
        match self {
            SourceChanges::Directory(changes) => changes.scope(),
            SourceChanges::Server(changes) => changes.scope(),
        }
    }

    fn concerns(&self, fault: &str) -> bool {
        match self {
            SourceChanges::Directory(changes) => changes.concerns(fault),
            SourceChanges::Server(changes) => changes.concerns(fault),
        }
    }
}

impl SyncSource for Source {
    type Changes = SourceChanges;

    fn kind(&self) -> &'static str {
        with_source!(self, source => source.kind())
    }

    async fn sync(&mut self, store: &impl SyncStore) -> Result<SyncReport, SyncError> {
        with_source!(self, source => source.sync(store).await)
    }

    async fn sync_changes(&mut self, store: &impl SyncStore, changes: SourceChanges) -> Result<SyncReport, SyncError> {
        match (self, changes) {
            (Source::Directory(source), SourceChanges::Directory(changes)) => source.sync_changes(store, changes).await,
            (_, SourceChanges::Server(changes)) => match changes {},
            // Another source has reported them.
            (source, _) => source.sync(store).await,
        }
    }

    fn can_be_watched(&self) -> bool {
        with_source!(self, source => source.can_be_watched())
    }

    async fn watch(&mut self) -> Result<(), WatchError> {
        with_source!(self, source => source.watch().await)
    }

    fn is_watched(&self) -> bool {
        with_source!(self, source => source.is_watched())
    }

    async fn watch_is_stale(&self) -> bool {
        with_source!(self, source => source.watch_is_stale().await)
    }

    async fn changes(&self) -> SourceChanges {
        match self {
            Source::Directory(source) => SourceChanges::Directory(source.changes().await),
            Source::Caldav(source) => SourceChanges::Server(source.changes().await),
            Source::Ics(source) => SourceChanges::Server(source.changes().await),
        }
    }

    async fn worth_a_try(&self, obstacle: Obstacle, spread: Duration) {
        with_source!(self, source => source.worth_a_try(obstacle, spread).await);
    }
}

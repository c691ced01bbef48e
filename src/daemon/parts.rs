//! The tasks that a running daemon consists of: none of them ends by itself, and at a stop they end in order, those that
//! make work before those that do it. What they do it does not know.

use std::future::{self, Future};

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

/// What a part does for the others, which says when it ends: in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Finds out what is to ring, and keeps house.
    Looks,
    /// Makes deliveries.
    Fires,
    /// Delivers.
    Delivers,
}

const ORDER: [Part; 3] = [Part::Looks, Part::Fires, Part::Delivers];

type Tasks = JoinSet<anyhow::Result<()>>;

/// The parts, running.
#[derive(Debug)]
pub struct Parts {
    /// The last that is to end; none: they run.
    ending: watch::Sender<Option<Part>>,
    looking: Tasks,
    firing: Tasks,
    delivering: Tasks,
    /// Runs those that look.
    apart: Handle,
}

/// Threads beside those of the process, for what must not delay these.
#[derive(Debug)]
pub struct Apart(Option<Runtime>);

impl Apart {
    /// As many as there are cores.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn new() -> anyhow::Result<Apart> {
        let runtime = Builder::new_multi_thread().thread_name("reveille-looks").enable_all().build();
        Ok(Apart(Some(runtime.context("threads cannot be started")?)))
    }

    /// Runs tasks on them.
    pub fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Where others wait a runtime must not wait for its threads.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Parts {
    /// None yet. Those that look will run `apart`: what servers, files and objects cost them delays neither firing nor deliveries.
    pub fn new(apart: Handle) -> Parts {
        let (ending, _) = watch::channel(None);
        Parts { ending, looking: JoinSet::new(), firing: JoinSet::new(), delivering: JoinSet::new(), apart }
    }

    /// Resolves when `part` is to end.
    pub fn ending(&self, part: Part) -> impl Future<Output = ()> + Send + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            // An error means that the sender is gone, and with it the daemon.
            let _ = ending.wait_for(|last| last.is_some_and(|last| part <= last)).await;
        }
    }

    /// Runs `task` as a `part`, until [`Parts::ending`] says that it is to end.
    pub fn start(&mut self, part: Part, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let threads = if part == Part::Looks { self.apart.clone() } else { Handle::current() };
        self.tasks(part).spawn_on(task, &threads);
    }

    fn tasks(&mut self, part: Part) -> &mut Tasks {
        match part {
            Part::Looks => &mut self.looking,
            Part::Fires => &mut self.firing,
            Part::Delivers => &mut self.delivering,
        }
    }

    /// Resolves when one has ended without being told to, which nothing can go on without: by an error or by a panic.
    pub async fn one_has_ended(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.looking.join_next() => ended,
            Some(ended) = self.firing.join_next() => ended,
            Some(ended) = self.delivering.join_next() => ended,
            else => return future::pending().await,
        };
        outcome(ended).err().unwrap_or_else(|| anyhow::anyhow!("a part of reveille has stopped by itself"))
    }

    /// Lets all end, one kind after the other; what has not ended at `deadline` is broken off.
    ///
    /// # Errors
    /// The first of theirs.
    pub async fn end(mut self, deadline: Instant) -> anyhow::Result<()> {
        let mut all = Ok(());
        let in_order = async {
            for part in ORDER {
                self.ending.send_replace(Some(part));
                while let Some(ended) = self.tasks(part).join_next().await {
                    let one = outcome(ended);
                    all = std::mem::replace(&mut all, Ok(())).and(one);
                }
            }
        };
        if timeout_at(deadline, in_order).await.is_err() {
            tracing::warn!("something did not end in time and is broken off");
        }
        all
    }
}

fn outcome(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("a part of reveille has stopped by itself").flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What is said of the part that has ended.
    async fn missed(parts: &mut Parts) -> String {
        let error = tokio::time::timeout(Duration::from_secs(60), parts.one_has_ended()).await;
        format!("{:#}", error.expect("somebody misses it"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_is_missed_and_so_is_one_that_ends() {
        for part in ORDER {
            let mut parts = Parts::new(Handle::current());
            let ending = parts.ending(Part::Looks);
            parts.start(Part::Looks, async move {
                ending.await;
                Ok(())
            });
            parts.start(part, async { panic!("in the middle of it") });
            let error = missed(&mut parts).await;
            assert!(error.contains("has stopped by itself") && error.contains("in the middle of it"), "{error}");
            parts.start(part, async { Ok(()) });
            assert_eq!(missed(&mut parts).await, "a part of reveille has stopped by itself");
            parts.end(Instant::now() + Duration::from_secs(60)).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn parts_end_in_order_and_none_holds_up_the_end() {
        let mut parts = Parts::new(Handle::current());
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        for part in [Part::Delivers, Part::Fires, Part::Looks] {
            let (ending, told) = (parts.ending(part), told.clone());
            parts.start(part, async move {
                ending.await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                told.send(part).unwrap();
                if part == Part::Fires { Err(anyhow::anyhow!("it does not turn")) } else { Ok(()) }
            });
        }
        parts.start(Part::Delivers, future::pending());
        let began = Instant::now();
        let error = parts.end(began + Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "it does not turn");
        assert_eq!(began.elapsed(), Duration::from_secs(20));
        assert_eq!(ORDER.map(|_| tells.try_recv().unwrap()), ORDER);
    }
}

//! The tasks that a running daemon consists of: none of them ends by itself, and at a stop they end in order, those
//! that make work before those that do it. What they do it does not know.

use std::future::{self, Future};

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

/// What a task does, which decides when it is stopped: in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Syncs sources, watches the clock and prunes the history.
    Sync,
    /// Fires what is due, which makes deliveries.
    Fire,
    /// Delivers.
    Deliver,
}

const ORDER: [Stage; 3] = [Stage::Sync, Stage::Fire, Stage::Deliver];

type Tasks = JoinSet<anyhow::Result<()>>;

/// The tasks that are running.
#[derive(Debug)]
pub struct TaskGroup {
    /// The last stage that is to stop; none: all run.
    stopping: watch::Sender<Option<Stage>>,
    syncing: Tasks,
    firing: Tasks,
    delivering: Tasks,
    /// Run the tasks that sync.
    sync_threads: Handle,
}

/// Threads of their own for the tasks that sync, which must not delay the others.
#[derive(Debug)]
pub struct SyncThreads(Option<Runtime>);

impl SyncThreads {
    /// As many as there are cores.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn new() -> anyhow::Result<SyncThreads> {
        let runtime = Builder::new_multi_thread().thread_name("reveille-sync").enable_all().build();
        Ok(SyncThreads(Some(runtime.context("threads cannot be started")?)))
    }

    /// Runs tasks on them.
    pub fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for SyncThreads {
    fn drop(&mut self) {
        // Where others wait a runtime must not wait for its threads.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl TaskGroup {
    /// None yet. Those that sync will run on `sync_threads`: what servers, files and objects cost them delays
    /// neither firing nor deliveries.
    pub fn new(sync_threads: Handle) -> TaskGroup {
        let (stopping, _) = watch::channel(None);
        TaskGroup {
            stopping,
            syncing: JoinSet::new(),
            firing: JoinSet::new(),
            delivering: JoinSet::new(),
            sync_threads,
        }
    }

    /// Resolves when the tasks of `stage` are to stop.
    pub fn stopping(&self, stage: Stage) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // An error means that the sender is gone, and with it the daemon.
            let _ = stopping.wait_for(|last| last.is_some_and(|last| stage <= last)).await;
        }
    }

    /// Runs `task` as one of `stage`, until [`TaskGroup::stopping`] says that it is to stop.
    pub fn start(&mut self, stage: Stage, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let threads = if stage == Stage::Sync { self.sync_threads.clone() } else { Handle::current() };
        self.tasks(stage).spawn_on(task, &threads);
    }

    fn tasks(&mut self, stage: Stage) -> &mut Tasks {
        match stage {
            Stage::Sync => &mut self.syncing,
            Stage::Fire => &mut self.firing,
            Stage::Deliver => &mut self.delivering,
        }
    }

    /// Resolves when a task exited without being stopped, by an error or by a panic: the others cannot go on without
    /// it.
    pub async fn one_has_exited(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.syncing.join_next() => ended,
            Some(ended) = self.firing.join_next() => ended,
            Some(ended) = self.delivering.join_next() => ended,
            else => return future::pending().await,
        };
        outcome(ended).err().unwrap_or_else(|| anyhow::anyhow!("a task exited unexpectedly"))
    }

    /// Stops all tasks, one stage after the other; those that have not stopped at `deadline` are aborted.
    ///
    /// # Errors
    /// The first of theirs.
    pub async fn stop(mut self, deadline: Instant) -> anyhow::Result<()> {
        let mut all = Ok(());
        let in_order = async {
            for stage in ORDER {
                self.stopping.send_replace(Some(stage));
                while let Some(ended) = self.tasks(stage).join_next().await {
                    let one = outcome(ended);
                    all = std::mem::replace(&mut all, Ok(())).and(one);
                }
            }
        };
        if timeout_at(deadline, in_order).await.is_err() {
            tracing::warn!("some tasks did not stop in time and were aborted");
        }
        all
    }
}

fn outcome(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("a task exited unexpectedly").flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What is said of the task that has ended.
    async fn noticed(group: &mut TaskGroup) -> String {
        let error = tokio::time::timeout(Duration::from_secs(60), group.one_has_exited()).await;
        format!("{:#}", error.expect("somebody misses it"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_is_missed_and_so_is_one_that_ends() {
        for stage in ORDER {
            let mut group = TaskGroup::new(Handle::current());
            let stopping = group.stopping(Stage::Sync);
            group.start(Stage::Sync, async move {
                stopping.await;
                Ok(())
            });
            group.start(stage, async { panic!("in the middle of it") });
            let error = noticed(&mut group).await;
            assert!(error.contains("exited unexpectedly") && error.contains("in the middle of it"), "{error}");
            group.start(stage, async { Ok(()) });
            assert_eq!(noticed(&mut group).await, "a task exited unexpectedly");
            group.stop(Instant::now() + Duration::from_secs(60)).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn parts_end_in_order_and_none_holds_up_the_end() {
        let mut group = TaskGroup::new(Handle::current());
        let (stopped, mut stops) = tokio::sync::mpsc::unbounded_channel();
        for stage in [Stage::Deliver, Stage::Fire, Stage::Sync] {
            let (stopping, stopped) = (group.stopping(stage), stopped.clone());
            group.start(stage, async move {
                stopping.await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                stopped.send(stage).unwrap();
                if stage == Stage::Fire { Err(anyhow::anyhow!("it does not turn")) } else { Ok(()) }
            });
        }
        group.start(Stage::Deliver, future::pending());
        let began = Instant::now();
        let error = group.stop(began + Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "it does not turn");
        assert_eq!(began.elapsed(), Duration::from_secs(20));
        assert_eq!(ORDER.map(|_| stops.try_recv().unwrap()), ORDER);
    }
}

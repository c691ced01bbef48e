//! Work on many objects on all cores.

use std::sync::{Arc, LazyLock};
use std::thread;

/// Fewer objects than this are worked through on one thread.
const FEW: usize = 32;

/// How many cores there are: asking the operating system means reading several files.
static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// Works through `items` on as many threads as there are cores, away from those that wait for sockets, and keeps their
/// order.
pub async fn spread<T, R, F>(items: Vec<T>, work: F) -> Vec<R>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(Vec<T>) -> Vec<R> + Send + Sync + 'static,
{
    let share = items.len().div_ceil(*CORES).max(FEW);
    let work = Arc::new(work);
    let mut tasks = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let (part, work) = (items.by_ref().take(share).collect(), work.clone());
        tasks.push(tokio::task::spawn_blocking(move || work(part)));
    }
    let mut done = Vec::new();
    for task in tasks {
        match task.await {
            Ok(part) => done.extend(part),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    done
}

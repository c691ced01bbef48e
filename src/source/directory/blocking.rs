//! File work, which may block, on threads where it may.

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The closure neither panics nor is it cancelled.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

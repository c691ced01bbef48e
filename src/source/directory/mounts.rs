//! Noticing that something was mounted or unmounted, which the watch of a folder does not report.

use std::fs::File;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The list of what is mounted.
#[derive(Debug)]
pub(super) struct Mounts(AsyncFd<File>);

impl Mounts {
    /// To be called within a runtime; none where the system has no such list.
    pub(super) fn open() -> Option<Mounts> {
        let list = File::open("/proc/self/mountinfo").ok()?;
        #[allow(
            deprecated,
            reason = "its replacement is unsafe for the sake of types that may close their descriptor; this one owns it"
        )]
        AsyncFd::with_interest(list, Interest::PRIORITY).ok().map(Mounts)
    }

    /// Waits until the list changes; false if that can no longer be noticed.
    pub(super) async fn changed(&self) -> bool {
        match self.0.ready(Interest::PRIORITY).await {
            Ok(mut ready) => {
                ready.clear_ready();
                true
            }
            Err(_) => false,
        }
    }
}

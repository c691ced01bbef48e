//! Why hints are not passed on.

use std::time::Duration;

/// Why a hint is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    /// No source that runs has this name, or none of its users occurs in the path.
    #[error("there is no such source")]
    Unknown,
    /// There were too many of them. None is lost: one that named one source is joined to the one that waits, and one
    /// that named all users of a source is passed on to them when the next one is accepted.
    #[error("there are too many hints")]
    TooMany {
        /// When the next one is accepted.
        retry_after: Duration,
    },
}

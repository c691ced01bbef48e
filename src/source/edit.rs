//! Changing an object of a store: what the user answers to an alarm is written there. Nothing else of the program
//! writes into a store.

use std::sync::Arc;

/// Makes the new text of an object out of the present one, or says why it cannot: [`EditError::Changed`],
/// [`EditError::Refused`].
pub type TextEdit = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, EditError> + Send + Sync>;

/// Why an object was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not there any more.
    #[error("{0} is not there any more")]
    Gone(String),
    /// Somebody else changes it, again and again.
    #[error("{0} is being changed by others at this moment: try again")]
    Busy(String),
    /// What was to be edited is not in it any more, a sentence.
    #[error("{0}")]
    Changed(String),
    /// The edit is not possible, and why.
    #[error("{0}")]
    Refused(String),
    /// The store does not take it, and why.
    #[error("{0}")]
    Failed(String),
}

/// How often an object is read again that somebody else has changed between reading and writing.
pub(super) const EDIT_ATTEMPTS: usize = 5;

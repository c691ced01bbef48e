//! Why a push is refused.

/// Why a push is refused, or an address for pushes cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// There is no such address, or no longer.
    #[error("there is no such subscription")]
    Gone,
    /// The server has said that its pushes are signed, and this one is not.
    #[error("the push is not signed")]
    Unsigned,
    /// The signature is wrong, has expired, or is another server's.
    #[error("the signature of the push is not valid")]
    WrongSignature,
    /// There are too many pushes. The source is synced all the same.
    #[error("there are too many pushes")]
    TooMany,
    /// The operating system gives no random numbers.
    #[error("there are no random numbers")]
    NoRandom,
}

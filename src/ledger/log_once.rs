//! An error that lasts is logged once, and so is its end: a disk can be full for a night.

use super::error::LedgerError;

/// The error of the ledger that was logged last, for those who try again and again.
#[derive(Debug, Default)]
pub struct LogOnce(Option<String>);

impl LogOnce {
    /// Whether `error` is news: the last try did not fail, or otherwise.
    pub fn is_news(&mut self, error: &LedgerError) -> bool {
        let error = Some(error.to_string());
        let news = self.0 != error;
        self.0 = error;
        news
    }

    /// Notes that a try went well; whether that is news.
    pub fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_news_once_and_so_is_its_end() {
        let mut log_once = LogOnce::default();
        assert!(!log_once.is_over(), "there was none");
        assert!(log_once.is_news(&LedgerError::Full));
        assert!(!log_once.is_news(&LedgerError::Full));
        assert!(log_once.is_news(&LedgerError::Locked), "another one");
        assert!(log_once.is_over());
        assert!(!log_once.is_over());
        assert!(log_once.is_news(&LedgerError::Full));
    }
}

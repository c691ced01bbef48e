//! The users of servers that are asked for them. What a server has said is noted here by whoever asks it, and read when
//! the configuration is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the servers of sources have said of their users. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ServerUsers(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    sources: BTreeMap<String, ServerAnswer>,
    changes: u64,
}

/// What the server of one source has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerAnswer {
    /// The users, as they were last listed.
    pub(super) users: Option<Vec<String>>,
    /// Why they could not be listed since.
    pub(super) fault: Option<String>,
}

impl ServerUsers {
    /// Notes the users of `source`, or why they cannot be listed: then those from before stay. Another fault than
    /// before is no change: a fault may name how long a request took.
    pub fn note(&self, source: &str, listed: Result<Vec<String>, String>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = noted.sources.get(source).cloned().unwrap_or_default();
        let now = match listed {
            Ok(users) => ServerAnswer { users: Some(users), fault: None },
            Err(fault) => ServerAnswer { fault: Some(fault), ..before.clone() },
        };
        noted.changes += u64::from(now.users != before.users || now.fault.is_some() != before.fault.is_some());
        noted.sources.insert(source.to_owned(), now);
    }

    /// A number that is another one after each change.
    pub fn changes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).changes
    }

    /// What the server of `source` has said; none if it was not asked.
    pub(super) fn of(&self, source: &str) -> Option<ServerAnswer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sources.get(source).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_stay_while_they_cannot_be_listed() {
        let users = ServerUsers::default();
        assert!(users.of("all").is_none());
        users.note("all", Ok(vec!["mary".to_owned()]));
        users.clone().note("all", Err("down".to_owned()));
        let answer = users.of("all").unwrap();
        assert_eq!((answer.users.unwrap(), answer.fault.as_deref()), (vec!["mary".to_owned()], Some("down")));
        users.note("all", Err("down for longer".to_owned()));
        assert_eq!((users.changes(), users.of("all").unwrap().fault.as_deref()), (2, Some("down for longer")));
        users.note("all", Ok(Vec::new()));
        assert_eq!(users.changes(), 3);
        assert_eq!(users.of("all").unwrap(), ServerAnswer { users: Some(Vec::new()), fault: None });
    }
}

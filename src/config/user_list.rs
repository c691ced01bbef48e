//! A list of users, for each of whom a source is made.

/// The users that a list names.
#[derive(Debug, Default)]
pub(super) struct UserList {
    pub(super) users: Vec<String>,
    /// Lines that name none, a sentence each.
    pub(super) faults: Vec<String>,
}

impl UserList {
    /// Of a text with a user on each line. What follows a colon is not read (a file of passwords as web servers have it
    /// is such a list), nor are empty lines and those that begin with `#`.
    pub(super) fn of_text(text: &str) -> UserList {
        let named = |line: &str| line.split(':').next().unwrap_or_default().trim().to_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        UserList::of(lines.map(named).collect())
    }

    /// Of `users`, each once.
    pub(super) fn of(users: Vec<String>) -> UserList {
        let mut list = UserList::default();
        for user in users {
            let is_path = user.contains('/') || user.chars().all(|c| c == '.') || user.chars().any(char::is_control);
            if is_path {
                list.faults.push(format!("'{}' cannot be a user here: it stands in paths", user.escape_debug()));
            } else if !list.users.contains(&user) {
                list.users.push(user);
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::UserList;

    #[test]
    fn a_list_is_a_line_a_user_or_a_file_of_passwords() {
        let list = UserList::of_text("# people\nmary\n\n bob:$2y$05$x:y \nmary\n../etc\n:\nnn@example.org\n");
        assert_eq!(list.users, ["mary", "bob", "nn@example.org"]);
        assert_eq!(list.faults.len(), 2, "{:?}", list.faults);
    }
}

//! Why a folder cannot be read, and what would help.

use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::Access;

/// What the error of the folder `path` says; where a right is missing, which one, on which folder, and whose.
pub(super) fn reason(path: &Path, error: &io::Error) -> String {
    if error.kind() != ErrorKind::PermissionDenied {
        return error.to_string();
    }
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    above.reverse();
    let user = rustix::process::geteuid().as_raw();
    let closed = above.into_iter().find(|folder| rustix::fs::access(*folder, Access::EXEC_OK).is_err());
    match closed {
        Some(folder) => format!(
            "user {user} may not enter {folder}: it needs the right to (x), e.g. by `setfacl -m u:{user}:x {folder}`",
            folder = folder.display()
        ),
        None => format!(
            "user {user} may not read {path}: it needs the rights to read and to enter it (r and x), e.g. by its group, or by `setfacl -m u:{user}:rx {path}`",
            path = path.display()
        ),
    }
}

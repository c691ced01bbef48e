//! Who may do what with files: what owners and modes allow to a user, in words that help, and files that root makes for
//! the user whose folder they are in.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

/// Where the names of users and of groups are.
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// The attribute of a file that has more rights than its mode says.
const ACL: &str = "system.posix_acl_access";

/// A user of this machine, with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The numeric user id.
    pub id: u32,
    /// Its name; its number where it has none in /etc/passwd.
    pub name: String,
    groups: Vec<u32>,
}

impl User {
    /// The user that this process runs as.
    pub fn current() -> User {
        let id = rustix::process::geteuid().as_raw();
        let mut groups = vec![rustix::process::getegid().as_raw()];
        groups.extend(rustix::process::getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()));
        User { id, name: name_of(USERS, id), groups }
    }

    /// The user with this number.
    pub fn with_id(id: u32) -> User {
        let line = lines(USERS).into_iter().find(|line| number(line) == Some(id));
        line.and_then(|line| User::of(&line)).unwrap_or_else(|| User { id, name: id.to_string(), groups: Vec::new() })
    }

    /// The user with this name.
    pub fn named(name: &str) -> Option<User> {
        lines(USERS)
            .into_iter()
            .find(|line| line.first().is_some_and(|first| first == name))
            .and_then(|line| User::of(&line))
    }

    /// Whether rights do not matter, because it is root.
    pub fn is_root(&self) -> bool {
        self.id == 0
    }

    /// From its line in /etc/passwd.
    fn of(line: &[String]) -> Option<User> {
        let name = line.first()?.clone();
        let mut groups = vec![line.get(3)?.parse().ok()?];
        let has = |line: &Vec<String>| line.get(3).is_some_and(|members| members.split(',').any(|one| one == name));
        groups.extend(lines(GROUPS).iter().filter(|line| has(line)).filter_map(|line| number(line)));
        Some(User { id: number(line)?, name, groups })
    }
}

/// What is to be done with a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Read it.
    Read,
    /// Write it, or make files in it.
    Write,
    /// To make files in a folder, which includes entering it.
    Create,
    /// To list a folder and enter it.
    List,
    /// To enter a folder on the way to something.
    Enter,
    /// To run a program.
    Execute,
}

impl Need {
    /// The bits of a mode, in their lowest place.
    fn bits(self) -> u32 {
        match self {
            Need::Read => 4,
            Need::Write => 2,
            Need::Create => 3,
            Need::List => 5,
            Need::Enter | Need::Execute => 1,
        }
    }
}

/// The first thing on the way to a path that a user may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The file or folder.
    pub path: PathBuf,
    /// What was to be done with it.
    pub need: Need,
    /// Who may not.
    pub user: User,
    owner: String,
    group: String,
    mode: u32,
    /// The file is the user's own: only its mode is wrong.
    is_own: bool,
    /// Members of its group may do it.
    group_may: bool,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denied { path, user, owner, group, mode, .. } = self;
        let what = match self.need {
            Need::Read => "read",
            Need::Write => "write",
            Need::Create => "make files in",
            Need::List => "list",
            Need::Enter => "enter",
            Need::Execute => "run",
        };
        let path = path.display();
        write!(f, "the user '{}' may not {what} {path} (owner {owner}, group {group}, mode {mode:04o})", user.name)
    }
}

impl Denied {
    /// What is denied, with the command that helps. `owned`: the file is to be the user's own.
    pub fn sentence(&self, owned: bool) -> String {
        format!("{self}: {}", self.remedy(owned))
    }

    /// The command that gives the right. `owned`: the file is to be the user's own.
    pub fn remedy(&self, owned: bool) -> String {
        let Denied { path, user: User { name, .. }, group, need, .. } = self;
        let path = path.display();
        let letters = match need {
            Need::Read => "r",
            Need::Write => "rw",
            Need::Create => "rwx",
            Need::List => "rx",
            Need::Enter | Need::Execute => "x",
        };
        if self.is_own {
            format!("chmod u+{letters} {path}")
        } else if owned && *need != Need::Enter {
            format!("chown {name} {path}")
        } else if self.group_may {
            format!("usermod -a -G {group} {name}, and restart what runs as '{name}'")
        } else if *need == Need::List {
            format!("setfacl -R -m u:{name}:rX,d:u:{name}:rX {path}")
        } else {
            format!("setfacl -m u:{name}:{letters} {path}")
        }
    }
}

/// What `user` lacks for `need` at `path`: a sentence with the command that helps; none where [`denied`] finds nothing.
/// `owned`: the file is to be the user's own.
pub fn lacking(user: &User, path: &Path, need: Need, owned: bool) -> Option<String> {
    denied(user, path, need).map(|denied| denied.sentence(owned))
}

/// What `user` may not read of a secret, which is to be its own, and of certificates: a sentence, as [`lacking`].
pub fn lacking_secrets(user: &User, secret: Option<&Path>, ca_file: Option<&Path>) -> Option<String> {
    let of_secret = secret.and_then(|file| lacking(user, file, Need::Read, true));
    of_secret.or_else(|| ca_file.and_then(|file| lacking(user, file, Need::Read, false)))
}

/// The folder that `path` is in; that of the process where it names none.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What of `need` at `path`, and of entering the folders on the way to it, `user` may not do; none where it may, where
/// that does not follow from owners and modes, and if there is no such file.
pub fn denied(user: &User, path: &Path, need: Need) -> Option<Denied> {
    if user.is_root() {
        return None;
    }
    let path = fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok()?;
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let steps = above.into_iter().map(|folder| (folder, Need::Enter)).chain([(path.as_path(), need)]);
    for (step, need) in steps {
        let metadata = fs::metadata(step).ok()?;
        if let Some(denied) = denied_at(user, step, need, &metadata) {
            return Some(denied);
        }
    }
    None
}

fn denied_at(user: &User, path: &Path, need: Need, metadata: &Metadata) -> Option<Denied> {
    let (mode, bits) = (metadata.mode(), need.bits());
    let may = |shift: u32| (mode >> shift) & bits == bits;
    let is_own = metadata.uid() == user.id;
    let allowed = if is_own {
        may(6)
    } else if user.groups.contains(&metadata.gid()) {
        may(3)
    } else {
        may(0)
    };
    if allowed || has_acl(path) {
        return None;
    }
    Some(Denied {
        path: path.to_owned(),
        need,
        user: user.clone(),
        owner: name_of(USERS, metadata.uid()),
        group: name_of(GROUPS, metadata.gid()),
        mode: mode & 0o7777,
        is_own,
        group_may: may(3) && !user.groups.contains(&metadata.gid()) && metadata.gid() != 0,
    })
}

/// Whether a user has rights to the file at `path` that its mode does not show.
fn has_acl(path: &Path) -> bool {
    let mut nothing: [u8; 0] = [];
    rustix::fs::getxattr(path, ACL, &mut nothing).is_ok_and(|length| length > 0)
}

/// What to add to the message of an error at `path`: who may not do what, and the command that helps. Empty where the
/// error is another one than a lacking right, or if the right is unknown. `owned`: the file is to be the user's
/// own.
pub fn hint(error: &io::Error, path: &Path, need: Need, owned: bool) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    match denied(&User::current(), path, need) {
        Some(denied) => format!(": {denied}; {}", denied.remedy(owned)),
        None => String::new(),
    }
}

/// `error`, and [`hint`] behind it.
pub fn with_hint(error: &io::Error, path: &Path, need: Need, owned: bool) -> String {
    format!("{error}{}", hint(error, path, need, owned))
}

/// Gives `file` (called `path`), which root has opened or just made, to the owner of `like`: a service that may not use
/// its own ledger does not start. Nothing is done where another user than root runs this, and with a file that has
/// several names.
pub fn give_to_owner_of(like: &Path, file: &File, path: &Path) {
    if !User::current().is_root() {
        return;
    }
    let like = if like.as_os_str().is_empty() { Path::new(".") } else { like };
    let given = fs::metadata(like).and_then(|like| {
        let metadata = file.metadata()?;
        let same = (metadata.uid(), metadata.gid()) == (like.uid(), like.gid());
        if same || !metadata.is_file() || metadata.nlink() != 1 {
            return Ok(());
        }
        fchown(file, Some(like.uid()), Some(like.gid()))
    });
    if let Err(why) = given {
        tracing::warn!("{} cannot be given to the owner of {}: {why}", path.display(), like.display());
    }
}

/// Gives `file`, which root has just made, to `user` and its group.
///
/// # Errors
/// When the file cannot be given away.
pub fn give_to(user: &User, file: &File) -> io::Result<()> {
    fchown(file, Some(user.id), user.groups.first().copied())
}

/// The lines of a table of users or groups, each its fields.
fn lines(file: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
}

fn number(line: &[String]) -> Option<u32> {
    line.get(2)?.parse().ok()
}

/// The name of a user or a group; its number where it has none.
fn name_of(file: &str, id: u32) -> String {
    let line = lines(file).into_iter().find(|line| number(line) == Some(id));
    line.and_then(|line| line.into_iter().next()).unwrap_or_else(|| id.to_string())
}

//! Owners and modes: what root leaves behind for the user that the daemon runs as, and what is said of rights that are
//! lacking. Only root can play two users, so these tests are skipped, out loud, where somebody else runs them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use reveille::access::User;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::rehearsal::{Stage, event, touch};

/// A user and a group that every Linux has, and that own nothing here: nobody.
const NOBODY: u32 = 65_534;
/// A group that nobody is not in.
const MAIL: u32 = 8;

/// A stage whose folder belongs to nobody, with the program in it: what root has built may lie where only root goes.
fn stage_or_skip() -> Option<Stage> {
    if !User::current().is_root() {
        eprintln!("skipped: this test plays two users, which needs root");
        return None;
    }
    let stage = Stage::new();
    mode(stage.path(), 0o755);
    fs::copy(env!("CARGO_BIN_EXE_reveille"), stage.path().join("reveille")).unwrap();
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    give(stage.path());
    Some(stage)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a folder with all that is in it to nobody.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten() {
        give(&entry.unwrap().path());
    }
}

fn as_nobody(stage: &Stage, arguments: &[&str]) -> Output {
    let mut command = Command::new(stage.path().join("reveille"));
    command.args(arguments).current_dir(stage.path()).env_remove("REVEILLE_CONFIG").env("HOME", stage.path());
    command.uid(NOBODY).gid(NOBODY).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// The files in the stage's folder, and of whose they are those that are not nobody's.
fn foreign(stage: &Stage) -> (Vec<String>, Vec<String>) {
    let (mut all, mut foreign) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(stage.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let metadata = entry.metadata().unwrap();
        if (metadata.uid(), metadata.gid()) != (NOBODY, NOBODY) {
            foreign.push(name.clone());
        }
        all.push(name);
    }
    all.sort();
    (all, foreign)
}

#[test]
fn what_root_makes_beside_a_ledger_belongs_to_its_owner() {
    let Some(stage) = stage_or_skip() else { return };
    // The very first pass, by root: the folder says whose the ledger is.
    stage.pass("2026-03-10T11:00:00Z");
    stage.pass("2026-03-10T12:00:01Z");
    let made = |names: &[&str]| names.iter().all(|name| foreign(&stage).0.iter().any(|there| there == name));
    assert!(made(&["ledger.db", "ledger.db.lock", "alarms.jsonl"]), "{:?}", foreign(&stage));
    assert_eq!(foreign(&stage).1, [""; 0]);
    // A reader keeps the log and what is shared beside it there, as a daemon would that was killed.
    let log = hold_log(&stage);
    stage.pass("2026-03-10T12:30:00Z");
    assert!(made(&["ledger.db-wal", "ledger.db-shm"]), "{:?}", foreign(&stage));
    assert_eq!(foreign(&stage).1, [""; 0]);
    drop(log);
    assert!(stage.reveille(&["backup", "copy.db"]).status.success());
    assert_eq!(foreign(&stage).1, [""; 0]);
    for ending in ["", "-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(stage.path().join(format!("ledger.db{ending}")));
    }
    let restored = stage.reveille(&["restore", "copy.db", "--fired-until", "2026-03-10T12:40:00Z"]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert_eq!(foreign(&stage).1, [""; 0]);
    stage.put("late.ics", "20260310T124500Z", "Late", "2026-03-01T00:00:00Z");
    let passed = as_nobody(&stage, &["run", "--once", "--at", "2026-03-10T13:00:00Z"]);
    assert!(passed.status.success(), "{}", text(&passed.stderr));
    assert_eq!(stage.fired(), ["20260310T120000Z Tea", "20260310T124500Z Late"]);
}

/// A connection that reads the ledger: while it is open, SQLite leaves its files where they are.
fn hold_log(stage: &Stage) -> impl Drop + use<> {
    struct Held(tokio::runtime::Runtime, Option<sqlx::SqliteConnection>);
    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(connection) = self.1.take() {
                let _ = self.0.block_on(sqlx::Connection::close(connection));
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(stage.path().join("ledger.db"));
    let connection = runtime.block_on(async {
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::query("SELECT count(*) FROM meta").fetch_one(&mut connection).await.unwrap();
        connection
    });
    Held(runtime, Some(connection))
}

#[test]
fn a_lock_file_that_root_has_left_and_one_that_leads_elsewhere() {
    let Some(stage) = stage_or_skip() else { return };
    stage.pass("2026-03-10T11:00:00Z");
    let lock = stage.path().join("ledger.db.lock");
    chown(&lock, Some(0), Some(0)).unwrap();
    mode(&lock, 0o600);
    let refused = as_nobody(&stage, &["run", "--once", "--at", "2026-03-10T11:30:00Z"]);
    let nobody = User::with_id(NOBODY).name;
    let root = format!("(owner root, group root, mode 0600); chown {nobody} {}", lock.display());
    let told = text(&refused.stderr);
    assert!(told.contains(&format!("the user '{nobody}' may not read {} {root}", lock.display())), "{told}");
    // Root mends what root has done.
    stage.pass("2026-03-10T11:30:00Z");
    assert_eq!(foreign(&stage).1, [""; 0]);
    // But writes through no link that somebody else has put there.
    let precious = tempfile::NamedTempFile::new().unwrap();
    fs::write(precious.path(), "precious").unwrap();
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(precious.path(), &lock).unwrap();
    let refused = stage.reveille(&["run", "--once", "--at", "2026-03-10T11:40:00Z"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        (fs::read_to_string(precious.path()).unwrap().as_str(), precious.path().metadata().unwrap().uid()),
        ("precious", 0)
    );
}

/// What `check` as root finds about the user of the daemon: (whether it is in order, what was found).
fn rights(stage: &Stage) -> Vec<(bool, String)> {
    let output = stage.reveille(&["check", "--offline", "--json"]);
    let lines = text(&output.stdout);
    let found = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_user = found.filter(|finding| finding["what"] == "user");
    of_user.map(|finding| (finding["ok"] == true, finding["found"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn check_as_root_says_what_the_user_of_the_daemon_may_not() {
    let Some(stage) = stage_or_skip() else { return };
    let nobody = User::with_id(NOBODY).name;
    stage.pass("2026-03-10T11:00:00Z");
    let program =
        format!("'sudo -u {nobody} reveille check --config {}/reveille.toml' tries it", stage.path().display());
    let well = format!(
        "by owners and modes the user '{nobody}', which owns the ledger, may read and write what it needs; this was checked as \
         root: {program}"
    );
    assert_eq!(rights(&stage), [(true, well.clone())]);

    // Each of these root may nevertheless.
    let object = stage.file("tea.ics");
    chown(&object, Some(0), Some(MAIL)).unwrap();
    mode(&object, 0o640);
    let alarms = stage.path().join("alarms.jsonl");
    fs::write(&alarms, "").unwrap();
    mode(&alarms, 0o600);
    let configuration = stage.path().join("reveille.toml");
    chown(&configuration, Some(0), Some(0)).unwrap();
    mode(&configuration, 0o600);
    mode(&stage.path().join("ledger.db"), 0o400);
    let configured = fs::read_to_string(&configuration).unwrap();
    let mail = "[[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtps://mary@127.0.0.1:1\"\npassword_file = \"secret\"\n\
                from = \"a@example.org\"\n";
    let admin = "[admin]\nlisten = \"127.0.0.1:1\"\ntoken_file = \"secret\"\n";
    fs::write(&configuration, format!("{configured}{mail}{admin}")).unwrap();
    let secret = stage.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    mode(&secret, 0o600);
    let real = |path: PathBuf| fs::canonicalize(path).unwrap().display().to_string();
    let (object, alarms, configuration, secret) = (real(object), real(alarms), real(configuration), real(secret));
    let ledger = real(stage.path().join("ledger.db"));
    let group = fs::read_to_string("/etc/group").unwrap();
    let mail = group
        .lines()
        .find(|line| line.split(':').nth(2) == Some("8"))
        .map_or("8", |line| line.split(':').next().unwrap());
    let group_of_nobody = group.lines().find(|line| line.split(':').nth(2) == Some("65534"));
    let group_of_nobody = group_of_nobody.map_or("65534", |line| line.split(':').next().unwrap());
    let found = rights(&stage);
    let expected = [
        format!(
            "configuration: the user '{nobody}' may not read {configuration} (owner root, group root, mode 0600): \
             setfacl -m u:{nobody}:r {configuration}"
        ),
        format!(
            "ledger {}/ledger.db: the user '{nobody}' may not write {ledger} (owner {nobody}, group {group_of_nobody}, mode \
             0400): chmod u+rw {ledger}",
            stage.path().display()
        ),
        format!(
            "source home: the user '{nobody}' may not read {object} (owner root, group {mail}, mode 0640): \
             usermod -a -G {mail} {nobody}, and restart what runs as '{nobody}'"
        ),
        format!(
            "sink alarms: the user '{nobody}' may not write {alarms} (owner root, group root, mode 0600): \
             chown {nobody} {alarms}"
        ),
        format!(
            "sink mail: the user '{nobody}' may not read {secret} (owner root, group root, mode 0600): chown {nobody} {secret}"
        ),
        format!(
            "admin: the user '{nobody}' may not read {secret} (owner root, group root, mode 0600): chown {nobody} {secret}"
        ),
    ];
    assert_eq!(found, expected.map(|sentence| (false, sentence)));
    assert_eq!(stage.reveille(&["check", "--offline"]).status.code(), Some(1));
}

#[test]
fn check_as_root_of_a_ledger_that_does_not_exist_yet_says_how_to_check_as_another_user() {
    let Some(stage) = stage_or_skip() else { return };
    let found = rights(&stage);
    assert!(found.len() == 1 && found[0].1.contains("which owns /"), "{found:?}");
    chown(stage.path(), Some(0), Some(0)).unwrap();
    let found = rights(&stage);
    let who = if User::named("reveille").is_some() {
        "sudo -u reveille reveille check"
    } else {
        "sudo -u USER reveille check"
    };
    assert!(found.len() == 1 && found[0].1.contains(who), "{found:?}");
}

#[test]
fn the_error_names_the_right_that_a_user_lacks_and_what_gives_it() {
    let Some(stage) = stage_or_skip() else { return };
    let nobody = User::with_id(NOBODY).name;
    stage.pass("2026-03-10T11:00:00Z");
    let ledger = stage.path().join("ledger.db");
    chown(&ledger, Some(0), Some(0)).unwrap();
    for arguments in [&["status"][..], &["backup", "copy.db"], &["run", "--once"], &["deliveries", "retry", "--all"]] {
        let told = text(&as_nobody(&stage, arguments).stderr);
        let right = format!(
            "the user '{nobody}' may not read {} (owner root, group root, mode 0600); chown {nobody} ",
            ledger.display()
        );
        assert!(told.contains(&right) && !told.contains("code:"), "{arguments:?}: {told}");
    }
    chown(&ledger, Some(NOBODY), Some(NOBODY)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o755);
    let text_of = fs::read_to_string(stage.path().join("reveille.toml")).unwrap();
    let alarms = folder.path().join("alarms.jsonl");
    let elsewhere = text_of.replace(&format!("{}/alarms.jsonl", stage.path().display()), &alarms.display().to_string());
    fs::write(stage.path().join("reveille.toml"), elsewhere).unwrap();
    let told = text(&as_nobody(&stage, &["check", "--offline"]).stdout);
    let right = format!(
        "the user '{nobody}' may not make files in {} (owner root, group root, mode 0755); chown {nobody} ",
        folder.path().display()
    );
    assert!(told.contains(&right), "{told}");
}

#[test]
fn a_folder_that_is_closed_for_a_moment_is_not_warned_of_and_one_that_stays_closed_is_reported() {
    const SOON: Duration = Duration::from_secs(60);
    let Some(stage) = stage_or_skip() else { return };
    let program = stage.path().join("reveille");
    let mut daemon = Daemon::start_as(NOBODY, &program, stage.path(), &["run"]);
    daemon.log.find(SOON, |line| line.contains("sync finished")).unwrap();
    let known = |uid: &str| stage.reveille(&["show", &format!("{uid}@example.org")]).status.success();
    let wait_until = |done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + SOON;
        while !done() {
            assert!(Instant::now() < deadline, "{}", daemon.log.text());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    // As programs make folders: for themselves first, and for others once they are filled.
    let fresh = stage.path().join("watched/fresh");
    fs::create_dir(&fresh).unwrap();
    mode(&fresh, 0o700);
    fs::write(fresh.join("new.ics"), event("new", "20991231T120000Z", "new")).unwrap();
    mode(&fresh.join("new.ics"), 0o644);
    mode(&fresh, 0o755);
    wait_until(&|| known("new"));
    assert!(!daemon.log.text().contains("WARN"), "{}", daemon.log.text());
    let closed = stage.path().join("watched/closed");
    fs::create_dir(&closed).unwrap();
    mode(&closed, 0o700);
    fs::write(closed.join("late.ics"), event("late", "20991231T120000Z", "late")).unwrap();
    mode(&closed.join("late.ics"), 0o644);
    let told = daemon.log.find(SOON, |line| line.contains("watched/closed cannot be read")).unwrap();
    let nobody = User::with_id(NOBODY).name;
    assert!(told.contains(&format!("the user '{nobody}' may not")) && told.contains("(owner root"), "{told}");
    // Opened, it is seen at once, and nothing is wrong any more.
    mode(&closed, 0o755);
    wait_until(&|| known("late"));
    wait_until(&|| stage.listing(&["status"])[0]["sources"][0]["error"].is_null());
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_file_that_cannot_be_read_yet_fires_late_once_it_can() {
    let Some(stage) = stage_or_skip() else { return };
    let pass = |time: &str| {
        let output = as_nobody(&stage, &["run", "--once", "--at", &format!("2026-03-10T{time}:00Z")]);
        (output.status.code(), text(&output.stderr))
    };
    // Copied with its time, and given to others later, as some programs write.
    let write = |name: &str, text: &str| {
        let scratch = stage.path().join(name);
        fs::write(&scratch, text).unwrap();
        mode(&scratch, 0o600);
        fs::rename(&scratch, stage.file(name)).unwrap();
        touch(&stage.file(name), "2026-02-01T00:00:00Z");
    };
    let daily = event("new", "20260301T123000Z", "new").replace("DURATION", "RRULE:FREQ=DAILY\r\nDURATION");
    stage.put("known.ics", "20260310T150000Z", "known", "2026-03-01T00:00:00Z");
    give(stage.path());
    assert_eq!(pass("11:00").0, Some(0));
    write("new.ics", &daily);
    write("known.ics", &event("known", "20260310T123500Z", "changed"));
    for time in ["11:59", "12:20", "13:00", "14:00"] {
        let (status, log) = pass(time);
        let told = |name: &str| log.lines().filter(|line| line.contains(name) && line.contains("may not read")).count();
        assert_eq!((status, told("new.ics"), told("known.ics")), (Some(1), 1, 1), "{log}");
    }
    assert_eq!(stage.fired(), ["20260310T120000Z Tea"]);
    give(stage.path());
    assert_eq!(pass("14:10").0, Some(0));
    assert_eq!(pass("15:00").0, Some(0));
    assert_eq!(stage.fired()[1..], ["20260310T123000Z new", "20260310T123500Z changed"]);
    let recorded = stage.listing(&["firings", "--since", "2026-01-01T00:00:00Z"]);
    assert_eq!(recorded.len(), 3, "{recorded:?}");
}

/// Moves the file sink to a folder that belongs to root, with a group and a mode, and says where its file will be.
fn sink_in_a_folder_of_roots(stage: &Stage, group: u32, bits: u32) -> PathBuf {
    let folder = stage.path().join("log");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(0), Some(group)).unwrap();
    mode(&folder, bits);
    let configuration = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, text.replace("alarms.jsonl", "log/alarms.jsonl")).unwrap();
    folder.join("alarms.jsonl")
}

#[test]
fn a_file_that_root_tests_a_sink_with_is_one_that_the_daemon_appends_to() {
    let Some(stage) = stage_or_skip() else { return };
    // Before the first start of the service the folder of the ledger says whose it is.
    let alarms = sink_in_a_folder_of_roots(&stage, NOBODY, 0o770);
    let tested = stage.reveille(&["test-sink", "alarms"]);
    assert!(tested.status.success(), "{}", text(&tested.stderr));
    let made = fs::metadata(&alarms).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (NOBODY, NOBODY, 0o600));
    assert_eq!(fs::read_dir(alarms.parent().unwrap()).unwrap().count(), 1);
    for time in ["11:00:00", "12:00:01"] {
        let passed = as_nobody(&stage, &["run", "--once", "--at", &format!("2026-03-10T{time}Z")]);
        assert!(passed.status.success(), "{}", text(&passed.stderr));
    }
    let lines = fs::read_to_string(&alarms).unwrap();
    assert!(lines.lines().count() == 2 && lines.contains("\"summary\":\"Tea\""), "{lines}");
}

#[test]
fn root_tests_no_sink_whose_file_the_daemon_could_not_append_to() {
    let Some(stage) = stage_or_skip() else { return };
    let nobody = User::with_id(NOBODY).name;
    stage.pass("2026-03-10T11:00:00Z");
    let alarms = sink_in_a_folder_of_roots(&stage, 0, 0o755);
    let refused = stage.reveille(&["test-sink", "alarms"]);
    let folder = fs::canonicalize(alarms.parent().unwrap()).unwrap().display().to_string();
    assert_eq!(
        (refused.status.code(), text(&refused.stderr)),
        (
            Some(1),
            format!(
                "error: the sink 'alarms' was not tried: the daemon runs as '{nobody}', which owns the ledger, and the user \
                 '{nobody}' may not make files in {folder} (owner root, group root, mode 0755): chown {nobody} {folder}\n"
            )
        )
    );
    assert!(!alarms.exists());
    // A file that root has made by other means is named with what helps.
    fs::write(&alarms, "").unwrap();
    mode(&alarms, 0o600);
    let refused = stage.reveille(&["test-sink", "alarms"]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.contains("may not write ") && told.contains(&format!("chown {nobody} ")), "{told}");
    assert_eq!(fs::read_to_string(&alarms).unwrap(), "");
}

#[test]
fn root_tests_no_file_sink_through_a_link_to_what_is_not_there() {
    let Some(stage) = stage_or_skip() else { return };
    let nobody = User::with_id(NOBODY).name;
    stage.pass("2026-03-10T11:00:00Z");
    let folder = tempfile::tempdir().unwrap();
    let (target, alarms) = (folder.path().join("precious"), stage.path().join("alarms.jsonl"));
    std::os::unix::fs::symlink(&target, &alarms).unwrap();
    let refused = stage.reveille(&["test-sink", "alarms"]);
    let told = text(&refused.stderr);
    assert!(!target.exists() && refused.status.code() == Some(1), "{told}");
    assert!(told.contains(&format!("{} is a link to what is not there", alarms.display())), "{told}");
    assert!(told.contains(&format!("the daemon runs as '{nobody}', which owns the ledger")), "{told}");
    // One that leads to a file of the daemon's user is followed.
    mode(folder.path(), 0o755);
    fs::write(&target, "").unwrap();
    chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
    assert!(stage.reveille(&["test-sink", "alarms"]).status.success());
    assert_eq!(fs::read_to_string(&target).unwrap().lines().count(), 1);
}

#[test]
fn root_tests_no_file_sink_of_a_daemon_that_nothing_tells_the_user_of() {
    let Some(stage) = stage_or_skip() else { return };
    if User::named("reveille").is_some() {
        eprintln!("skipped: this machine has a user 'reveille', which tells it");
        return;
    }
    // The folder of the ledger is not there, or is everybody's.
    chown(stage.path(), Some(0), Some(0)).unwrap();
    let configuration = stage.path().join("reveille.toml");
    let original = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, original.replace("/ledger.db", "/state/ledger.db")).unwrap();
    let refused = stage.reveille(&["test-sink", "alarms"]);
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && told.contains("nothing says which user the daemon runs as"), "{told}");
    assert!(!stage.path().join("alarms.jsonl").exists());
    // Where root alone could make a ledger, the daemon runs as root.
    fs::write(&configuration, original).unwrap();
    assert!(stage.reveille(&["test-sink", "alarms"]).status.success());
    assert_eq!(fs::metadata(stage.path().join("alarms.jsonl")).unwrap().uid(), 0);
}

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::calendar::zone::Zones;
use crate::delivery::sink::samples::delivery;

fn sink(path: &Path) -> LineFile {
    LineFile::new(
        path,
        Renderer::new(JsonFormat::default(), Zones::bundled()),
        Duration::from_secs(10),
        SendDeadline::default(),
    )
}

#[tokio::test]
async fn lines_are_appended_and_the_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alarms.jsonl");
    let file = sink(&path);
    assert_eq!(file.send(&[delivery("{1}"), delivery("{2}")]).await, [Outcome::Delivered, Outcome::Delivered]);
    assert_eq!(file.send(&[delivery("{3}")]).await, [Outcome::Delivered]);
    assert_eq!(sink(&path).send(&[delivery("{4}")]).await, [Outcome::Delivered]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{1}\n{2}\n{3}\n{4}\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_alarm_that_a_crash_cut_off_is_taken_back_and_other_text_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alarms.jsonl");
    let long = format!("{{1}}\n{{\"event\":\"CalendarAlarm\",\"summary\":\"{}", "x".repeat(3 * 1024 * 1024));
    for (left, kept) in [
        (long.as_str(), "{1}\n"),
        (&long[4..], ""),
        ("{1}\n{\"event\":\"CalendarAlarm\",\"pid\":7", "{1}\n"),
        ("{1}\n{\"ev", "{1}\n"),
        ("{\"event\":\"CalendarAlarm\"", ""),
        ("{1}\na note", "{1}\na note\n"),
        ("{1}\n", "{1}\n"),
    ] {
        fs::write(&path, left).unwrap();
        assert_eq!(sink(&path).send(&[delivery("{2}")]).await, [Outcome::Delivered]);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}{{2}}\n"), "{left:.40}");
    }
}

#[tokio::test]
async fn a_rotated_file_is_closed_with_and_without_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old, older) = (folder.path().join("a"), folder.path().join("a.1"), folder.path().join("a.2"));
    let file = sink(&path);
    file.send(&[delivery("{1}")]).await;
    fs::rename(&path, &old).unwrap();
    file.send(&[delivery("{2}")]).await;
    assert_eq!(
        (fs::read_to_string(&old).unwrap(), fs::read_to_string(&path).unwrap()),
        ("{1}\n".into(), "{2}\n".into())
    );
    fs::rename(&path, &older).unwrap();
    file.reopen();
    file.send(&[delivery("{3}")]).await;
    assert_eq!(
        (fs::read_to_string(&older).unwrap(), fs::read_to_string(&path).unwrap()),
        ("{2}\n".into(), "{3}\n".into())
    );
}

#[tokio::test]
async fn what_cannot_be_written_now_is_for_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("alarms.jsonl");
    let file = sink(&path);
    let outcomes = file.send(&[delivery("{1}")]).await;
    let [Outcome::Retry { response, after: None }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(
        response.contains("alarms.jsonl cannot be written") && response.ends_with("create its folder first"),
        "{response}"
    );
    assert!(file.try_open().is_err());
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(file.try_open().unwrap(), format!("will create {}", path.display()));
    assert_eq!(file.send(&[delivery("{1}")]).await, [Outcome::Delivered]);
    assert_eq!(file.try_open().unwrap(), format!("appends to {}, now 4 octets", path.display()));
}

#[tokio::test]
async fn devices_pipes_and_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR.union(rustix::fs::Mode::WUSR),
        0,
    )
    .unwrap();
    for path in [&pipe, folder.path(), Path::new("/dev/null")] {
        let outcomes = sink(path).send(&[delivery("{1}")]).await;
        assert!(matches!(outcomes.as_slice(), [Outcome::Retry { .. }]), "{}: {outcomes:?}", path.display());
        assert!(sink(path).try_open().is_err(), "{}", path.display());
    }
}

/// How the test below tells itself that it runs within its limit.
const SMALL_DISK: &str = "REVEILLE_TEST_SMALL_DISK";

#[test]
fn a_full_disk_takes_whole_lines_and_the_rest_later() {
    if let Some(path) = std::env::var_os(SMALL_DISK) {
        return within_a_small_disk(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    // Files may not grow beyond 4 KiB there, and a write beyond that gets an error instead of being killed.
    let path = folder.path().join("alarms.jsonl");
    let status = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact delivery::sink::file::tests::a_full_disk_takes_whole_lines_and_the_rest_later"])
        .arg(std::env::current_exe().unwrap())
        .env(SMALL_DISK, &path)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(path).unwrap(), "{2}\n", "the inner run has come to its end");
}

fn within_a_small_disk(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = sink(path);
        let line = format!("{{\"{}\"}}", "x".repeat(995)); // 1,000 octets with its line end
        let outcomes = file.send(&vec![delivery(&line); 6]).await;
        let (delivered, rest) = outcomes.split_at(4);
        assert_eq!(delivered, vec![Outcome::Delivered; 4]);
        assert!(
            rest.iter().all(|o| matches!(o, Outcome::Retry { response, .. } if response.contains("cannot be written"))),
            "{rest:?}"
        );
        assert_eq!(fs::read_to_string(path).unwrap(), format!("{line}\n").repeat(4), "the begun line is taken back");
        fs::write(path, "").unwrap();
        assert_eq!(file.send(&[delivery("{2}")]).await, [Outcome::Delivered]);
        assert_eq!(fs::read_to_string(path).unwrap(), "{2}\n");
    });
}

#[tokio::test]
async fn a_file_that_has_grown_is_rotated_and_each_line_is_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = || sink(&path).rotated(Some(RotationSettings { size: 1024, keep: 2 }));
    let line = |n: usize| format!("{{{n:0>398}}}");
    let first = file();
    for n in 1..=2 {
        assert_eq!(first.send(&[delivery(&line(n))]).await, [Outcome::Delivered]);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // A batch that is larger than the limit goes into one file.
    assert_eq!(first.send(&[3, 4, 5].map(|n| delivery(&line(n)))).await, [const { Outcome::Delivered }; 3]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    // The process ends after it has renamed the file and before it has made another one.
    fs::rename(folder.path().join("a.1"), folder.path().join("a.2")).unwrap();
    fs::rename(&path, folder.path().join("a.1")).unwrap();
    assert_eq!(file().send(&[delivery(&line(6))]).await, [Outcome::Delivered]);
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let lines = |numbers: &[usize]| numbers.iter().map(|n| line(*n) + "\n").collect::<String>();
    assert_eq!([text("a.2"), text("a.1"), text("a")], [lines(&[1, 2]), lines(&[3, 4, 5]), lines(&[6])]);
}

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::calendar::zone::Zones;
use crate::config::Shape;
use crate::delivery::sink::samples::parcel;

fn sink(path: &Path) -> LineFile {
    LineFile::new(path, Shaper::new(Shape::default(), Zones::bundled()), Duration::from_secs(10))
}

#[tokio::test]
async fn lines_are_appended_and_the_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alarms.jsonl");
    let file = sink(&path);
    assert_eq!(file.send(&[parcel("{1}"), parcel("{2}")]).await, [Outcome::Delivered, Outcome::Delivered]);
    assert_eq!(file.send(&[parcel("{3}")]).await, [Outcome::Delivered]);
    assert_eq!(sink(&path).send(&[parcel("{4}")]).await, [Outcome::Delivered]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{1}\n{2}\n{3}\n{4}\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_is_ended_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alarms.jsonl");
    fs::write(&path, "{1}\n{\"half").unwrap();
    assert_eq!(sink(&path).send(&[parcel("{2}")]).await, [Outcome::Delivered]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{1}\n{\"half\n{2}\n");
}

#[tokio::test]
async fn a_rotated_file_is_let_go_with_and_without_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old, older) = (folder.path().join("a"), folder.path().join("a.1"), folder.path().join("a.2"));
    let file = sink(&path);
    file.send(&[parcel("{1}")]).await;
    fs::rename(&path, &old).unwrap();
    file.send(&[parcel("{2}")]).await;
    assert_eq!(
        (fs::read_to_string(&old).unwrap(), fs::read_to_string(&path).unwrap()),
        ("{1}\n".into(), "{2}\n".into())
    );
    fs::rename(&path, &older).unwrap();
    file.reopen();
    file.send(&[parcel("{3}")]).await;
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
    let outcomes = file.send(&[parcel("{1}")]).await;
    let [Outcome::Later { answer, after: None }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(
        answer.contains("alarms.jsonl cannot be written") && answer.ends_with("create its folder first"),
        "{answer}"
    );
    assert!(file.check().is_err());
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(file.check().unwrap(), format!("will create {}", path.display()));
    assert_eq!(file.send(&[parcel("{1}")]).await, [Outcome::Delivered]);
    assert_eq!(file.check().unwrap(), format!("appends to {}, now 4 octets", path.display()));
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
        let outcomes = sink(path).send(&[parcel("{1}")]).await;
        assert!(matches!(outcomes.as_slice(), [Outcome::Later { .. }]), "{}: {outcomes:?}", path.display());
        assert!(sink(path).check().is_err(), "{}", path.display());
    }
}

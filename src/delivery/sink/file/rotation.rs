//! Rotation of the file of a sink by size: `alarms.jsonl` becomes `alarms.jsonl.1`, that becomes `alarms.jsonl.2`, and
//! so on, and the oldest is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tables::{Section, value};

/// Old files that are kept, where no number is written.
const KEEP: u64 = 5;

/// When a file is rotated, and how many old ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationSettings {
    /// Octets that the file is not to exceed, unless one batch does.
    pub size: u64,
    /// Old files.
    pub keep: u64,
}

impl RotationSettings {
    /// Reads the keys; none where the file is not rotated.
    pub fn read(section: &Section<'_>) -> Option<RotationSettings> {
        let keep = section.read("rotate_keep", value::number(1, 1000));
        let size = section.read("rotate_size", value::number(1024, u64::MAX));
        if keep.is_some() && !section.has("rotate_size") {
            section.report("rotate_keep", "says how many old files are kept, and rotate_size is missing");
        }
        Some(RotationSettings { size: size?, keep: keep.unwrap_or(KEEP) })
    }
}

/// Rotates one file.
#[derive(Debug)]
pub struct Rotation {
    settings: RotationSettings,
    /// Whether that was logged.
    has_failed: AtomicBool,
}

impl Rotation {
    /// As `settings` say.
    pub fn new(settings: RotationSettings) -> Rotation {
        Rotation { settings, has_failed: AtomicBool::new(false) }
    }

    /// Whether a file of `length` octets has to be rotated before `more` octets are appended.
    pub fn is_due(&self, length: u64, more: usize) -> bool {
        length > 0 && length.saturating_add(more as u64) > self.settings.size
    }

    /// Renames the file at `path` to `PATH.1`, after the older ones; then there is no file at `path`. If that is broken
    /// off, every line is still in one of the files, and the next rotation continues. If it fails, the file stays where
    /// it is, which is logged once, and false is returned.
    pub fn rotate(&self, path: &Path) -> bool {
        let renamed = self.renames(path).into_iter().try_for_each(|(from, to)| fs::rename(from, to));
        match &renamed {
            Ok(()) => self.has_failed.store(false, Ordering::Relaxed),
            Err(why) => self.log(path, why),
        }
        renamed.is_ok()
    }

    /// What is renamed to what, one after the other. A gap in the numbers, which a rotation that was broken off has
    /// left, is filled.
    fn renames(&self, path: &Path) -> Vec<(PathBuf, PathBuf)> {
        let numbered = |number: u64| match number {
            0 => path.to_owned(),
            _ => {
                let mut name = path.as_os_str().to_owned();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            }
        };
        let keep = self.settings.keep.max(1);
        let is_free = |number: &u64| fs::symlink_metadata(numbered(*number)).is_err();
        let last = (1..=keep).find(is_free).unwrap_or(keep);
        (1..=last).rev().map(|number| (numbered(number.saturating_sub(1)), numbered(number))).collect()
    }

    fn log(&self, path: &Path, why: &io::Error) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::warn!("{} cannot be rotated, and grows: {why}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of the files, the oldest first.
    fn texts(path: &Path, keep: u64) -> Vec<String> {
        let old = (1..=keep).rev().map(|number| PathBuf::from(format!("{}.{number}", path.display())));
        old.chain([path.to_owned()]).filter_map(|file| fs::read_to_string(file).ok()).collect()
    }

    #[test]
    fn wherever_it_is_broken_off_no_text_is_lost_and_the_order_stays() {
        for done in 0..=3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            let rotation = Rotation::new(RotationSettings { size: 1024, keep: 9 });
            for text in ["1", "2", "3"] {
                fs::write(&path, text).unwrap();
                if text != "3" {
                    assert!(rotation.rotate(&path) && !path.exists());
                }
            }
            // The process is killed after so many steps.
            for (from, to) in rotation.renames(&path).into_iter().take(done) {
                fs::rename(from, to).unwrap();
            }
            assert_eq!(texts(&path, 9), ["1", "2", "3"], "{done}");
            if !path.exists() {
                fs::write(&path, "4").unwrap();
            }
            let before = texts(&path, 9);
            assert!(rotation.rotate(&path));
            assert_eq!(texts(&path, 9), before, "{done}");
            assert!(folder.path().join("a.1").exists() && !path.exists(), "{done}");
        }
    }

    #[test]
    fn the_oldest_is_dropped_and_a_rotation_that_fails_leaves_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let rotation = Rotation::new(RotationSettings { size: 1024, keep: 2 });
        for text in ["1", "2", "3", "4"] {
            fs::write(&path, text).unwrap();
            assert!(rotation.rotate(&path));
        }
        assert_eq!(texts(&path, 9), ["3", "4"]);
        fs::create_dir(folder.path().join("b.1")).unwrap();
        let path = folder.path().join("b");
        fs::write(&path, "5").unwrap();
        let rotation = Rotation::new(RotationSettings { size: 1024, keep: 1 });
        assert!(!rotation.rotate(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "5");
        assert!(rotation.is_due(1_000, 25) && !rotation.is_due(1_000, 24) && !rotation.is_due(0, 9_999));
    }
}

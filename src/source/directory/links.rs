//! Symbolic links to folders, by which a calendar is shared in a store of files. One is followed where it leads into
//! the same store, or to a folder that the settings name, and where the store's owner has made what is there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where links may lead.
#[derive(Debug)]
pub(super) struct Links {
    /// The store's owner.
    owner: u32,
    /// Real paths: the store, and the folders that the settings name.
    places: Vec<PathBuf>,
}

impl Links {
    /// For the store whose real path is `root`; `places` are further folders that links may lead to.
    pub(super) fn new(root: &Path, places: &[PathBuf]) -> Links {
        let named = places.iter().filter_map(|place| fs::canonicalize(place).ok());
        let owner = fs::metadata(root).map_or(0, |metadata| metadata.uid());
        Links { owner, places: std::iter::once(root.to_owned()).chain(named).collect() }
    }

    /// The real path of the folder that the link `link` leads to; none where there is none. `above` are the real paths
    /// of the folders on the way to it.
    ///
    /// # Errors
    /// A sentence, where it is not followed.
    pub(super) fn target(&self, link: &Path, above: &[PathBuf]) -> Result<Option<PathBuf>, String> {
        let refuse = |why: String| Err(format!("the link {} is not followed: {why}", link.display()));
        let target = match fs::canonicalize(link) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return refuse(format!("where it leads is unknown ({error})")),
        };
        let metadata = match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => return Ok(None),
            Err(error) => return refuse(format!("{} cannot be read ({error})", target.display())),
        };
        let shown = target.display();
        if above.iter().any(|folder| folder.starts_with(&target)) {
            return refuse(format!("it leads back to {shown}, which it lies in"));
        }
        if !self.places.iter().any(|place| target.starts_with(place)) {
            return refuse(format!(
                "it leads to {shown}, outside the watched folder: name that folder in follow_links if it is meant to be watched"
            ));
        }
        if metadata.uid() != self.owner && metadata.uid() != 0 {
            return refuse(format!(
                "{shown} belongs to user {}, and not to the owner of the watched folder ({})",
                metadata.uid(),
                self.owner
            ));
        }
        Ok(Some(target))
    }
}

//! The folder that a run works in: configuration, ledger, calendar, what the sink writes. It is gone when the run is
//! over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use jiff::SignedDuration;

use super::block_on;
use reveille::ledger::Inspector;
use reveille::time::UtcMillis;

/// Where a run sends its alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Outlet {
    /// The sink `file`
    #[default]
    File,
    /// The sink `cyrus-notify`: a datagram socket
    CyrusNotify,
}

impl Outlet {
    pub(super) fn name(self) -> &'static str {
        match self {
            Outlet::File => "file",
            Outlet::CyrusNotify => "cyrus-notify",
        }
    }
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Site {
    path: PathBuf,
}

impl Site {
    /// A new folder below `parent`.
    pub(super) fn new(parent: &Path) -> anyhow::Result<Site> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("reveille-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(Site { path: fs::canonicalize(path)? })
    }

    /// The file or folder `name` in it.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.at("reveille.toml")
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.at("ledger.db")
    }

    /// What the sink `file` writes.
    pub(super) fn alarms(&self) -> PathBuf {
        self.at("alarms.jsonl")
    }

    /// Where the sink `cyrus-notify` sends to.
    pub(super) fn socket(&self) -> PathBuf {
        self.at("notify")
    }

    /// Writes the configuration: `sources` as TOML, and the sink.
    pub(super) fn configure(&self, sources: &str, outlet: Outlet) -> anyhow::Result<()> {
        let path = match outlet {
            Outlet::File => self.alarms(),
            Outlet::CyrusNotify => self.socket(),
        };
        self.configure_sink(sources, &format!("[[sink]]\nkind = '{}'\npath = '{}'\n", outlet.name(), path.display()))
    }

    /// Writes the configuration: `sources` and `sink` as TOML.
    pub(super) fn configure_sink(&self, sources: &str, sink: &str) -> anyhow::Result<()> {
        let text = format!("[ledger]\nurl = 'sqlite://{}'\n{sources}{sink}", self.ledger().display());
        Ok(fs::write(self.config(), text)?)
    }

    /// The folder `name` as a source.
    pub(super) fn directory(&self, name: &str) -> anyhow::Result<String> {
        let path = self.at(name);
        fs::create_dir_all(&path)?;
        Ok(format!(
            "[[source]]\nkind = 'directory'\nname = '{name}'\nuser = 'bench'\nlayout = 'flat'\npath = '{}'\n",
            path.display()
        ))
    }

    /// When each object that speaks of `uid` is due next, as the ledger says now.
    pub(super) fn due_of(&self, uid: &str) -> anyhow::Result<Vec<UtcMillis>> {
        block_on(async {
            let mut inspector = Inspector::open(&self.ledger()).await?;
            let objects = inspector.objects_of(uid).await?;
            inspector.close().await?;
            Ok(objects.into_iter().filter_map(|object| object.due).collect())
        })
    }

    /// Whether the source `name` has been synced as a whole. A ledger that is not there yet says no.
    pub(super) fn has_synced(&self, name: &str) -> bool {
        let has_synced = block_on(async {
            let mut inspector = Inspector::open(&self.ledger()).await?;
            let sources = inspector.sources().await?;
            inspector.close().await?;
            Ok(sources.iter().any(|source| source.name == name && source.last_synced_at.is_some()))
        });
        // The daemon may still be making it.
        has_synced.unwrap_or(false)
    }

    /// How long after it was due each delivered alarm was settled, in milliseconds, ascending.
    pub(super) fn lateness(&self) -> anyhow::Result<Vec<f64>> {
        block_on(async {
            let mut inspector = Inspector::open(&self.ledger()).await?;
            let lateness = inspector.delivered().await?;
            inspector.close().await?;
            Ok(lateness.iter().map(SignedDuration::as_millis_f64).collect())
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

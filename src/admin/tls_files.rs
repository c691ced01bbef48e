//! The certificate of the admin port: two files, which are read again when they change.

use std::path::PathBuf;
use std::sync::Mutex;

use std::sync::Arc;
use std::sync::PoisonError;

use tokio_rustls::TlsAcceptor;

use crate::tables::{FileStamp, SecretRef};
use crate::tls;

/// The certificate of a server and its key.
#[derive(Debug)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: SecretRef,
    /// As they were read last.
    read: Mutex<Option<LoadedCertificate>>,
}

struct LoadedCertificate {
    stamps: (Option<FileStamp>, Option<FileStamp>),
    acceptor: Result<TlsAcceptor, String>,
}

impl std::fmt::Debug for LoadedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedCertificate").field("stamps", &self.stamps).finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// The PEM file `certificate`, with those that have signed it, and its key.
    pub fn new(certificate: PathBuf, key: SecretRef) -> TlsFiles {
        TlsFiles { certificate, key, read: Mutex::default() }
    }

    /// Whether both files can be used as they are now.
    ///
    /// # Errors
    /// A sentence, when they cannot.
    pub fn check(&self) -> Result<(), String> {
        self.open().map(|_| ())
    }

    /// What accepts connections with the certificate as it is now. That it cannot be used is logged once.
    ///
    /// # Errors
    /// A sentence, when it cannot be used.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let stamps = (FileStamp::of(&self.certificate), self.key.stamp());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = read.as_ref().filter(|read| read.stamps == stamps) {
            return read.acceptor.clone();
        }
        let acceptor = self.open();
        if let Err(why) = &acceptor {
            tracing::warn!("the admin port accepts no connection: {why}");
        }
        *read = Some(LoadedCertificate { stamps, acceptor: acceptor.clone() });
        acceptor
    }

    fn open(&self) -> Result<TlsAcceptor, String> {
        let key = self.key.read().map_err(|why| format!("its {why}"))?;
        let config = tls::server_config(&self.certificate, key.expose()).map_err(|why| why.to_string())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

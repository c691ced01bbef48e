//! The TLS settings of one mail server: made when they are needed, and again when the file of certificate authorities
//! changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;

use crate::tables::FileStamp;
use crate::tls::{TlsError, client_config};

/// Whose certificates are accepted: what this machine trusts, and a file.
#[derive(Debug)]
pub struct Trust {
    ca_file: Option<PathBuf>,
    made: Mutex<Option<(Option<FileStamp>, Arc<ClientConfig>)>>,
}

impl Trust {
    /// With the certificate authorities of `ca_file` besides. Nothing is read yet.
    pub fn new(ca_file: Option<PathBuf>) -> Trust {
        Trust { ca_file, made: Mutex::default() }
    }

    /// The TLS settings.
    ///
    /// # Errors
    /// [`TlsError`] when the file cannot be used now, or trusts no one.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let now = self.stamp();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((of, tls)) if *of == now => Ok(Arc::clone(tls)),
            _ => {
                *made = None;
                let tls = client_config(self.ca_file.as_deref(), None)?;
                *made = Some((now, Arc::clone(&tls)));
                Ok(tls)
            }
        }
    }

    /// What changes when the file does.
    pub fn stamp(&self) -> Option<FileStamp> {
        self.ca_file.as_deref().and_then(FileStamp::of)
    }
}

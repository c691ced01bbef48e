//! The other end of a datagram socket: takes what comes, as fast as it can, and keeps it.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Octets of a datagram that is kept whole.
const LONGEST: usize = 1 << 18;

/// A bound socket and the thread that reads it, until the program ends.
#[derive(Debug)]
pub(super) struct Receiver {
    count: Arc<AtomicUsize>,
    datagrams: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    /// Binds a socket at `path`.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn bind(path: &Path) -> std::io::Result<Receiver> {
        let socket = UnixDatagram::bind(path)?;
        let (count, datagrams) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let (counted, kept) = (count.clone(), datagrams.clone());
        thread::spawn(move || {
            let mut buffer = vec![0; LONGEST];
            while let Ok(length) = socket.recv(&mut buffer) {
                let datagram = buffer.get(..length).unwrap_or_default().to_vec();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(datagram);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Receiver { count, datagrams })
    }

    /// How many have come.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// What has come.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.datagrams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long `datagrams` take from one bare socket to another at `path`.
///
/// # Errors
/// Those of the system.
pub(super) fn raw_limit(path: &Path, datagrams: &[Vec<u8>]) -> anyhow::Result<Duration> {
    let receiver = Receiver::bind(path)?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    let began = Instant::now();
    for datagram in datagrams {
        socket.send(datagram)?;
    }
    while receiver.count() < datagrams.len() {
        thread::yield_now();
    }
    Ok(began.elapsed())
}

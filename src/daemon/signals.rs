//! Signals of the operating system: SIGTERM and SIGINT stop it, SIGHUP reopens files, SIGUSR1 makes it
//! sync its sources and try its outbox now. SIGXFSZ does nothing.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::delivery::new_deliveries::NewDeliveries;
use crate::delivery::worker::DeliveryWorker;
use crate::hints::HintRegistry;

/// The signals, being received.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

/// From now on a file that may not grow (a limit on the size of files, RLIMIT_FSIZE) is like a full disk: writing
/// fails. Otherwise SIGXFSZ would end the process without a word.
///
/// # Errors
/// When signals cannot be received.
pub fn ignore_sigxfsz() -> std::io::Result<()> {
    // Whoever receives it or not, it is caught as long as the process lives.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

impl Signals {
    /// From now on the signals no longer end the process.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Resolves when one of them says stop.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Serves signals until one of them says stop.
    pub async fn serve(
        &mut self,
        workers: &[Arc<DeliveryWorker>],
        hints: &HintRegistry,
        new_deliveries: &NewDeliveries,
    ) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {
                    tracing::info!("reopening files");
                    workers.iter().for_each(|worker| worker.sink().reopen());
                }
                _ = self.user.recv() => {
                    tracing::info!("syncing every source and trying what is to be delivered now");
                    hints.request_all();
                    workers.iter().for_each(|worker| worker.hurry());
                    new_deliveries.wake_workers();
                }
            }
        }
    }

    /// From now on one that says stop ends the process at once.
    pub fn end_at_once(mut self) {
        tokio::spawn(async move {
            self.stop().await;
            tracing::warn!("stopping at once; what was not delivered waits in the ledger");
            std::process::exit(1);
        });
    }
}

//! A batch of notifications as JSON lines, and writing them where it may block. Standard output and files share it.

use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{ClaimedDelivery, Outcome};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::render::Renderer;

/// Deliveries as lines, one after the other, ready for one write.
#[derive(Debug)]
pub struct NdjsonBatch {
    pub bytes: Vec<u8>,
    /// Where the line of each delivery ends; a delivery that cannot be written has no line.
    ends: Vec<usize>,
    /// What becomes of each delivery when everything is written.
    outcomes: Vec<Outcome>,
}

impl NdjsonBatch {
    /// The lines of `deliveries`, written by `renderer`.
    pub fn of(deliveries: &[ClaimedDelivery], renderer: &Renderer) -> NdjsonBatch {
        let size = deliveries.iter().map(|delivery| delivery.notification.len() + 1).sum();
        let mut bytes = Vec::with_capacity(size);
        let (mut ends, mut outcomes) = (Vec::with_capacity(deliveries.len()), Vec::with_capacity(deliveries.len()));
        for delivery in deliveries {
            outcomes.push(match renderer.render(&delivery.notification) {
                Ok(json) => {
                    bytes.extend_from_slice(json.as_bytes());
                    bytes.push(b'\n');
                    Outcome::Delivered
                }
                Err(refused) => refused,
            });
            ends.push(bytes.len());
        }
        NdjsonBatch { bytes, ends, outcomes }
    }

    /// Where the last whole line within the first `written` octets ends.
    pub fn whole(&self, written: usize) -> usize {
        let lines = self.ends.partition_point(|end| *end <= written);
        lines.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    /// The outcomes when all of it is out.
    pub fn delivered(self) -> Vec<Outcome> {
        self.outcomes
    }

    /// The outcomes when only the first `written` octets are out, for the reason `response`.
    pub fn delivered_upto(self, written: usize, response: &str) -> Vec<Outcome> {
        let outcomes = self.outcomes.into_iter().zip(self.ends);
        outcomes
            .map(|(outcome, end)| match outcome {
                Outcome::Delivered if end > written => Outcome::retry(response),
                outcome => outcome,
            })
            .collect()
    }
}

/// Writes `bytes`, and says how many of them went out when that fails.
pub fn write(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// The outcomes of `sending`, which is one write of `count` deliveries; when all sending has to end before it is over,
/// none of them was tried: how far it has come is not known then.
pub async fn unless_it_ends(
    deadline: &SendDeadline,
    count: usize,
    sending: impl Future<Output = Vec<Outcome>>,
) -> Vec<Outcome> {
    tokio::select! {
        biased;
        outcomes = sending => outcomes,
        () = deadline.reached() => vec![Outcome::NotAttempted; count],
    }
}

/// Runs `job`, which may block and answers for `count` deliveries, on a thread of its own with `state` locked, one job
/// after the other. After `limit` the answer is that `name` is stuck; the job is then still running, and the next one
/// waits for it.
pub async fn apart<S: Send + 'static>(
    state: &Arc<Mutex<S>>,
    limit: Duration,
    name: &str,
    count: usize,
    job: impl FnOnce(&mut S) -> Vec<Outcome> + Send + 'static,
) -> Vec<Outcome> {
    let work = async {
        let mut state = Arc::clone(state).lock_owned().await;
        tokio::task::spawn_blocking(move || job(&mut state)).await
    };
    let response = match tokio::time::timeout(limit, work).await {
        Ok(Ok(outcomes)) => return outcomes,
        Ok(Err(stopped)) => format!("{name}: the writer stopped: {stopped}"),
        Err(_) => format!("{name} has taken nothing for {} s", limit.as_secs()),
    };
    vec![Outcome::retry(response); count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::zone::Zones;
    use crate::delivery::render::JsonFormat;
    use crate::delivery::sink::samples::delivery;

    fn lines(jsons: &[&str]) -> NdjsonBatch {
        let deliveries: Vec<ClaimedDelivery> = jsons.iter().map(|json| delivery(json)).collect();
        NdjsonBatch::of(&deliveries, &Renderer::new(JsonFormat::default(), Zones::bundled()))
    }

    #[test]
    fn a_batch_is_one_buffer_that_knows_its_lines() {
        let batch = lines(&["{1}", "{22}", "{333}"]);
        assert_eq!(batch.bytes, b"{1}\n{22}\n{333}\n");
        let ends: Vec<usize> = [0, 3, 4, 8, 9, 14, 15].into_iter().map(|n| batch.whole(n)).collect();
        assert_eq!(ends, [0, 0, 4, 4, 9, 9, 15]);
    }

    #[test]
    fn only_whole_lines_count_as_delivered() {
        let outcomes = lines(&["{1}", "{22}", "{333}"]).delivered_upto(14, "full");
        assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered, Outcome::retry("full")]);
    }

    #[test]
    fn an_unreadable_notification_takes_no_line_and_stays_refused() {
        let deliveries =
            [delivery("{}"), delivery(&serde_json::to_string(&crate::delivery::sink::samples::melbourne()).unwrap())];
        let format = JsonFormat { documented: true, local_times: false };
        let batch = NdjsonBatch::of(&deliveries, &Renderer::new(format, Zones::bundled()));
        assert_eq!(batch.bytes.iter().filter(|b| **b == b'\n').count(), 1);
        let outcomes = batch.delivered_upto(0, "full");
        assert!(matches!(outcomes.as_slice(), [Outcome::Permanent { .. }, Outcome::Retry { .. }]), "{outcomes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_writer_is_reported_and_waited_for() {
        let state = Arc::new(Mutex::new(0));
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_secs(30);
        let first = apart(&state, limit, "the file", 2, move |count| {
            let _ = stuck.recv();
            *count += 1;
            vec![Outcome::Delivered; 2]
        });
        // The paused clock does not move by itself while a thread works, so it is moved here.
        let (first, ()) = tokio::join!(first, tokio::time::advance(limit));
        assert_eq!(first, vec![Outcome::retry("the file has taken nothing for 30 s"); 2]);
        drop(release);
        let second = apart(&state, limit, "the file", 1, |count| vec![Outcome::retry(count.to_string())]).await;
        assert_eq!(second, [Outcome::retry("1")]);
    }
}

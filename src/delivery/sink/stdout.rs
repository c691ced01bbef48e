//! The sink `stdout`: JSON lines on standard output.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::ndjson::{NdjsonBatch, apart, unless_it_ends, write};
use super::{
    ClaimedDelivery, Outcome, Sending, SinkConfig, SinkContext, SinkDriver, SinkError, SinkKind, SinkSettings,
};
use crate::delivery::deadline::SendDeadline;
use crate::delivery::render::{JsonFormat, Renderer};

/// The sink `stdout`.
pub const KIND: SinkKind = SinkKind {
    name: "stdout",
    actions: &[],
    read: |section| Some(Arc::new(StdoutSettings { format: JsonFormat::read(section) })),
};

/// `kind = "stdout"`
#[derive(Clone, Copy, Debug, Default)]
pub struct StdoutSettings {
    /// How a line is written.
    pub format: JsonFormat,
}

impl SinkSettings for StdoutSettings {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, config: &SinkConfig, context: &SinkContext) -> Result<Box<dyn SinkDriver>, SinkError> {
        let renderer = Renderer::new(self.format, context.zones.clone());
        Ok(Box::new(Stdout::open(renderer, config.timeout, context.deadline.clone())?))
    }
}

/// Standard output, or whatever takes its place.
#[derive(Debug)]
pub struct Stdout {
    renderer: Renderer,
    timeout: Duration,
    deadline: SendDeadline,
    discards: bool,
    output: Arc<Mutex<Output>>,
}

#[derive(Debug)]
struct Output {
    file: File,
    /// A line was begun that could not be finished.
    ragged: bool,
}

impl Stdout {
    /// The standard output of the process.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(renderer: Renderer, timeout: Duration, deadline: SendDeadline) -> Result<Stdout, SinkError> {
        let output = io::stdout().as_fd().try_clone_to_owned();
        let output = output.map_err(|error| SinkError(format!("standard output cannot be used: {error}")))?;
        let output = File::from(output);
        let discards = is_null(&output);
        Ok(Stdout { discards, deadline, ..Stdout::to(output, renderer, timeout) })
    }

    /// Lines go to `file`.
    fn to(file: File, renderer: Renderer, timeout: Duration) -> Stdout {
        let (deadline, output) = (SendDeadline::default(), Arc::new(Mutex::new(Output { file, ragged: false })));
        Stdout { renderer, timeout, deadline, discards: false, output }
    }

    /// Writes the batch at once.
    async fn write(&self, deliveries: &[ClaimedDelivery]) -> Vec<Outcome> {
        let (batch, renderer) = (deliveries.to_vec(), self.renderer.clone());
        apart(&self.output, self.timeout, "standard output", deliveries.len(), move |output| {
            output.put(NdjsonBatch::of(&batch, &renderer))
        })
        .await
    }
}

impl SinkDriver for Stdout {
    fn send<'a>(&'a self, deliveries: &'a [ClaimedDelivery]) -> Sending<'a, Vec<Outcome>> {
        Box::pin(unless_it_ends(&self.deadline, deliveries.len(), self.write(deliveries)))
    }

    fn check(&self) -> Sending<'_, Result<String, SinkError>> {
        Box::pin(async { Ok("writes to standard output".to_owned()) })
    }

    /// A closed standard output is `/dev/null` by now: Rust opens that in its place, before anything else could be.
    fn discards_output(&self) -> bool {
        self.discards
    }
}

fn is_null(file: &File) -> bool {
    let device = |metadata: io::Result<Metadata>| {
        metadata.ok().filter(|metadata| metadata.file_type().is_char_device()).map(|metadata| metadata.rdev())
    };
    device(file.metadata()).is_some_and(|ours| device(std::fs::metadata("/dev/null")) == Some(ours))
}

impl Output {
    fn put(&mut self, batch: NdjsonBatch) -> Vec<Outcome> {
        let closed = if self.ragged { write(&mut self.file, b"\n") } else { Ok(()) };
        let written = closed.map_err(|(_, error)| (0, error)).and_then(|()| {
            self.ragged = false;
            write(&mut self.file, &batch.bytes)
        });
        let Err((count, error)) = written else { return batch.delivered() };
        self.ragged |= batch.whole(count) != count;
        let response = match error.kind() {
            ErrorKind::BrokenPipe => "standard output is closed: no process reads it any more".to_owned(),
            _ => format!("standard output cannot be written: {error}"),
        };
        batch.delivered_upto(count, &response)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::calendar::zone::Zones;
    use crate::delivery::sink::samples::delivery;

    fn piped() -> (io::PipeReader, Stdout) {
        let (reader, writer) = io::pipe().unwrap();
        let renderer = Renderer::new(JsonFormat::default(), Zones::bundled());
        (reader, Stdout::to(File::from(OwnedFd::from(writer)), renderer, Duration::from_secs(10)))
    }

    #[tokio::test]
    async fn a_batch_comes_out_line_by_line() {
        let (mut reader, sink) = piped();
        assert_eq!(sink.send(&[delivery("{1}"), delivery("{2}")]).await, [Outcome::Delivered, Outcome::Delivered]);
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "{1}\n{2}\n");
    }

    #[tokio::test]
    async fn a_closed_output_is_for_later_and_says_so() {
        let (reader, sink) = piped();
        drop(reader);
        let response = "standard output is closed: no process reads it any more";
        assert_eq!(sink.send(&[delivery("{1}")]).await, [Outcome::retry(response)]);
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_is_closed_before_the_next() {
        let (mut reader, sink) = piped();
        // A pipe that does not block holds 64 KiB: what does not fit is refused in the middle of a line.
        rustix::io::ioctl_fionbio(&sink.output.lock().await.file, true).unwrap();
        let long = format!("{{\"{}\"}}", "x".repeat(40_000));
        let outcomes = sink.send(&[delivery(&long), delivery(&long)]).await;
        assert!(matches!(outcomes.as_slice(), [Outcome::Delivered, Outcome::Retry { .. }]), "{outcomes:?}");
        let mut buffer = vec![0; 1 << 17];
        let mut text = Vec::new();
        let count = reader.read(&mut buffer).unwrap();
        text.extend_from_slice(&buffer[..count]);
        assert_eq!(sink.send(&[delivery("{2}")]).await, [Outcome::Delivered]);
        drop(sink);
        reader.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[2], lines.len()), (long.as_str(), "{2}", 3));
    }
}

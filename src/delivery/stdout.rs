//! The sink `stdout`: JSON lines on standard output.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::lines::{Lines, apart, write};
use super::shape::Shaper;
use super::sink::{Outcome, Parcel, SinkError};

/// Standard output, or whatever takes its place.
#[derive(Debug)]
pub struct Stdout {
    shaper: Shaper,
    timeout: Duration,
    nowhere: bool,
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
    pub fn open(shaper: Shaper, timeout: Duration) -> Result<Stdout, SinkError> {
        let output = io::stdout().as_fd().try_clone_to_owned();
        let output = output.map_err(|error| SinkError(format!("standard output cannot be used: {error}")))?;
        let output = File::from(output);
        let nowhere = is_null(&output);
        Ok(Stdout { nowhere, ..Stdout::to(output, shaper, timeout) })
    }

    /// Whether nobody will ever get what is written there. A closed standard output is `/dev/null` by now: Rust opens that
    /// in its place, before anything else could be.
    pub fn goes_nowhere(&self) -> bool {
        self.nowhere
    }

    /// Lines go to `file`.
    fn to(file: File, shaper: Shaper, timeout: Duration) -> Stdout {
        Stdout { shaper, timeout, nowhere: false, output: Arc::new(Mutex::new(Output { file, ragged: false })) }
    }

    /// Writes the batch at once.
    pub async fn send(&self, parcels: &[Parcel]) -> Vec<Outcome> {
        let (batch, shaper) = (parcels.to_vec(), self.shaper.clone());
        apart(&self.output, self.timeout, "standard output", parcels.len(), move |output| {
            output.put(Lines::of(&batch, &shaper))
        })
        .await
    }
}

fn is_null(file: &File) -> bool {
    let device = |metadata: io::Result<Metadata>| {
        metadata.ok().filter(|metadata| metadata.file_type().is_char_device()).map(|metadata| metadata.rdev())
    };
    device(file.metadata()).is_some_and(|ours| device(std::fs::metadata("/dev/null")) == Some(ours))
}

impl Output {
    fn put(&mut self, lines: Lines) -> Vec<Outcome> {
        let closed = if self.ragged { write(&mut self.file, b"\n") } else { Ok(()) };
        let written = closed.map_err(|(_, error)| (0, error)).and_then(|()| {
            self.ragged = false;
            write(&mut self.file, &lines.bytes)
        });
        let Err((count, error)) = written else { return lines.delivered() };
        self.ragged |= lines.whole(count) != count;
        let answer = match error.kind() {
            ErrorKind::BrokenPipe => "standard output is closed: nobody reads it any more".to_owned(),
            _ => format!("standard output cannot be written: {error}"),
        };
        lines.delivered_upto(count, &answer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::calendar::zone::Zones;
    use crate::config::Shape;
    use crate::delivery::sink::samples::parcel;

    fn piped() -> (io::PipeReader, Stdout) {
        let (reader, writer) = io::pipe().unwrap();
        let shaper = Shaper::new(Shape::default(), Zones::bundled());
        (reader, Stdout::to(File::from(OwnedFd::from(writer)), shaper, Duration::from_secs(10)))
    }

    #[tokio::test]
    async fn a_batch_comes_out_line_by_line() {
        let (mut reader, sink) = piped();
        assert_eq!(sink.send(&[parcel("{1}"), parcel("{2}")]).await, [Outcome::Delivered, Outcome::Delivered]);
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "{1}\n{2}\n");
    }

    #[tokio::test]
    async fn a_closed_output_is_for_later_and_says_so() {
        let (reader, sink) = piped();
        drop(reader);
        let answer = "standard output is closed: nobody reads it any more";
        assert_eq!(sink.send(&[parcel("{1}")]).await, [Outcome::later(answer)]);
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_is_closed_before_the_next() {
        let (mut reader, sink) = piped();
        // A pipe that does not block holds 64 KiB: what does not fit is refused in the middle of a line.
        rustix::io::ioctl_fionbio(&sink.output.lock().await.file, true).unwrap();
        let long = format!("{{\"{}\"}}", "x".repeat(40_000));
        let outcomes = sink.send(&[parcel(&long), parcel(&long)]).await;
        assert!(matches!(outcomes.as_slice(), [Outcome::Delivered, Outcome::Later { .. }]), "{outcomes:?}");
        let mut buffer = vec![0; 1 << 17];
        let mut text = Vec::new();
        let count = reader.read(&mut buffer).unwrap();
        text.extend_from_slice(&buffer[..count]);
        assert_eq!(sink.send(&[parcel("{2}")]).await, [Outcome::Delivered]);
        drop(sink);
        reader.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[2], lines.len()), (long.as_str(), "{2}", 3));
    }
}

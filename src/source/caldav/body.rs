//! Reading the body of a response as a multistatus. One that is not long is read as a whole, which is fastest; of a
//! longer one, however long, no more than its beginning is in memory besides what is made of it.

use std::string::FromUtf8Error;

use tokio::io::{AsyncWriteExt as _, BufReader};

use super::multistatus::{self, Collect};
use super::xml::XmlError;
use crate::config::ResponseLimits;
use crate::http::{Body, HttpFailure};

/// Octets between the network and the reader of XML; after each so many others get their turn.
const PIECE: usize = 64 * 1024;

/// Octets of a body up to which it is read as a whole.
const WHOLE: usize = 256 * 1024;

/// Reads `body` as a multistatus; what is not UTF-8 in it becomes U+FFFD.
///
/// # Errors
/// As for [`Body::next`].
pub async fn collect<C: Collect>(
    body: &mut Body,
    limits: &ResponseLimits,
    collector: C,
) -> Result<Result<C::Found, XmlError>, HttpFailure> {
    let mut beginning = Vec::new();
    while beginning.len() <= WHOLE {
        let Some(piece) = body.next().await? else {
            let lossy = |broken: FromUtf8Error| String::from_utf8_lossy(broken.as_bytes()).into_owned();
            let text = String::from_utf8(beginning).unwrap_or_else(lossy);
            return Ok(multistatus::read(&text, limits, collector));
        };
        beginning.extend_from_slice(&piece);
    }
    stream(beginning, body, limits, collector).await
}

/// Reads `beginning` and `body`, which follows it, while it comes in.
async fn stream<C: Collect>(
    beginning: Vec<u8>,
    body: &mut Body,
    limits: &ResponseLimits,
    collector: C,
) -> Result<Result<C::Found, XmlError>, HttpFailure> {
    let (mut inwards, outwards) = tokio::io::duplex(PIECE);
    let feed = async move {
        let mut utf8 = Utf8Pieces::default();
        if inwards.write_all(utf8.read(&beginning).as_bytes()).await.is_err() {
            return Ok(());
        }
        drop(beginning);
        let mut since = 0;
        while let Some(piece) = body.next().await? {
            since += piece.len();
            if inwards.write_all(utf8.read(&piece).as_bytes()).await.is_err() {
                // The reader has stopped.
                return Ok(());
            }
            if since >= PIECE {
                since = 0;
                tokio::task::yield_now().await;
            }
        }
        let _ = inwards.write_all(utf8.end().as_bytes()).await;
        Ok(())
    };
    let read = async {
        let mut reader = BufReader::new(outwards);
        let found = multistatus::stream(&mut reader, limits, collector).await;
        if found.is_ok() {
            // A response that is read to its end leaves its connection to the next request.
            let _ = tokio::io::copy_buf(&mut reader, &mut tokio::io::sink()).await;
        }
        found
    };
    let (fed, found) = tokio::join!(feed, read);
    fed.map(|()| found)
}

/// Octets that come in pieces, as UTF-8: pieces may split a character, and what is none becomes U+FFFD.
#[derive(Debug, Default)]
struct Utf8Pieces {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Utf8Pieces {
    fn read(&mut self, piece: &[u8]) -> String {
        self.rest.extend_from_slice(piece);
        let whole = self.rest.len() - begun(&self.rest);
        let rest = self.rest.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).into_owned()
    }

    /// What is left when no piece follows.
    fn end(self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

/// The octets at the end of `text` that begin a character and do not end it.
fn begun(text: &[u8]) -> usize {
    let last = text.iter().rev().take(3).zip(1..);
    let start = last.into_iter().find(|(octet, _)| **octet & 0b1100_0000 != 0b1000_0000);
    let wanted = |octet: u8| match octet {
        0b1100_0000..0b1110_0000 => 2,
        0b1110_0000..0b1111_0000 => 3,
        0b1111_0000..0b1111_1000 => 4,
        _ => 1,
    };
    start.map_or(0, |(octet, length)| if wanted(*octet) > length { length } else { 0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_read_as_the_whole(text in ".*", broken in prop::collection::vec(any::<u8>(), 0..6), size in 1..5_usize) {
            let octets = [text.as_bytes(), &broken, text.as_bytes(), &broken].concat();
            let mut utf8 = Utf8Pieces::default();
            let mut read: String = octets.chunks(size).map(|piece| utf8.read(piece)).collect();
            read += &utf8.end();
            prop_assert_eq!(read, String::from_utf8_lossy(&octets));
        }
    }
}

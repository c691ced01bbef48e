//! Connecting to a host with several addresses (RFC 8305, happy eyeballs): one that swallows packets holds nothing up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long an address is tried alone before the next one is tried as well (RFC 8305, 5).
const DELAY: Duration = Duration::from_millis(250);

/// Connects to `host`, which may be an address, by whichever of its addresses answers first.
///
/// # Errors
/// What the system says of the name, or of the address that failed last.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    first_to_answer(interleaved(lookup_host((host, port)).await?.collect())).await
}

/// The addresses in their order, but those of the two families in turn (RFC 8305, 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (these, those): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut these, mut those) = (these.into_iter(), those.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [these.next(), those.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// The first connection that comes about. Each address is tried when the one before has failed, or has not answered for
/// [`DELAY`].
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = addresses.into_iter();
    // Those that are still under way when one has answered end with this set.
    let mut connecting = JoinSet::new();
    loop {
        match addresses.next() {
            Some(address) => drop(connecting.spawn(TcpStream::connect(address))),
            None if connecting.is_empty() => return Err(error),
            None => {}
        }
        tokio::select! {
            Some(ended) = connecting.join_next() => match ended.map_err(io::Error::other).flatten() {
                Ok(stream) => return Ok(stream),
                Err(why) => error = why,
            },
            () = sleep(DELAY), if addresses.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_the_preferred_one_begins() {
        let order = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| format!("{address}:25").parse().unwrap()).collect();
            interleaved(addresses).iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        let (a, b, c) = ("[2001:db8::1]", "[2001:db8::2]", "[2001:db8::3]");
        assert_eq!(order(&[a, b, c, "192.0.2.1"]), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]);
        assert_eq!(order(&["192.0.2.1", "192.0.2.2", a]), ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        assert_eq!(order(&[]), [""; 0]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_at_once_and_the_last_error_is_reported() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (good, closed) = (listener.local_addr().unwrap(), "127.0.0.1:1".parse().unwrap());
        let stream = first_to_answer(vec![closed, closed, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = first_to_answer(vec![closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_to_answer(vec![]).await.is_err());
    }
}

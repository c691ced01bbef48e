//! The connection that SMTP is spoken over: TCP without delay, TLS from the start or after STARTTLS, and a bound on what a
//! server may say.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect::connect;

use crate::tls;

/// Stands for the greeting that a server does not repeat once STARTTLS is done.
const GREETING: &[u8] = b"220 TLS\r\n";

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    peer: SocketAddr,
    /// To be read before what the server says.
    first: &'static [u8],
    /// Octets that the server may answer to one command.
    longest: usize,
    /// What of them it may still say before it is asked again.
    allowance: usize,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects to `host`, which may be an address. No more than `longest` octets are read of an answer.
    ///
    /// # Errors
    /// What the system says when nobody answers there.
    pub async fn connect(host: &str, port: u16, longest: usize) -> io::Result<Wire> {
        let stream = connect(host, port).await?;
        // A mail's last line is a small write of its own, and would wait for the answer to the one before.
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        Ok(Wire { stream: Stream::Plain(stream), peer, first: b"", longest, allowance: longest })
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Goes over to TLS, with the certificate checked for `host`.
    ///
    /// # Errors
    /// When the handshake fails or the certificate is not to be trusted.
    pub async fn secure(self, config: &Arc<ClientConfig>, host: &str) -> io::Result<Wire> {
        let Stream::Plain(stream) = self.stream else { return Ok(self) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let told = |why: io::Error| tls::in_words(&why).map_or(why, io::Error::other);
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(told)?;
        Ok(Wire { stream: Stream::Tls(Box::new(stream)), ..self })
    }

    /// Asks for TLS (RFC 3207) and goes over to it; what comes then is the connection as if it had begun encrypted. `hello` is
    /// our name. It is done here because nothing that was said in the clear may be taken for an answer afterwards.
    ///
    /// # Errors
    /// When the server does not offer it, or what [`Wire::secure`] says.
    pub async fn start_tls(mut self, tls: &Arc<ClientConfig>, host: &str, hello: &str) -> io::Result<Wire> {
        let Stream::Plain(stream) = &mut self.stream else { return Ok(self) };
        let longest = self.longest;
        expect(stream, "220", longest).await?;
        stream.write_all(format!("EHLO {hello}\r\n").as_bytes()).await?;
        let offers = expect(stream, "250", longest).await?;
        let offered = |line: &str| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
        if !offers.lines().any(offered) {
            let refusal = "the server does not offer STARTTLS; use smtps:// if it speaks TLS on another port";
            return Err(io::Error::other(refusal));
        }
        stream.write_all(b"STARTTLS\r\n").await?;
        expect(stream, "220", longest).await?;
        let wire = self.secure(tls, host).await?;
        Ok(Wire { first: GREETING, ..wire })
    }
}

/// Reads one answer (RFC 5321, 4.2.1) of at most `longest` octets, which must have the code `code`.
async fn expect(stream: &mut TcpStream, code: &str, longest: usize) -> io::Result<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !is_whole(&answer)? {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if answer.len() > longest {
            return Err(too_long(longest));
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.starts_with(code) { Ok(answer) } else { Err(io::Error::other(answer.trim().to_owned())) }
}

/// Whether `answer` ends with its last line. More than that would be said in the clear and read as if it were not.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let mut lines = answer.split_inclusive(|octet| *octet == b'\n');
    let is_last = |line: &&[u8]| line.ends_with(b"\n") && line.get(3) != Some(&b'-');
    match lines.find(is_last) {
        None => Ok(false),
        Some(_) if lines.next().is_none() => Ok(true),
        Some(_) => Err(io::Error::new(ErrorKind::InvalidData, "the server says more than it was asked")),
    }
}

fn too_long(longest: usize) -> io::Error {
    let told = format!("the server's answer does not end within {longest} octets (limits.max_reply_size)");
    io::Error::new(ErrorKind::InvalidData, told)
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let (now, rest) = self.first.split_at(self.first.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.first = rest;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        })?;
        let said = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        // An answer in an old encoding must not pass for a broken connection.
        if std::str::from_utf8(said).is_err() {
            said.iter_mut().filter(|octet| !octet.is_ascii()).for_each(|octet| *octet = b'?');
        }
        match self.allowance.checked_sub(said.len()) {
            Some(left) => self.allowance = left,
            None => return Poll::Ready(Err(too_long(self.longest))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.allowance = self.longest;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

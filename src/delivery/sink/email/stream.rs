//! The connection that SMTP is spoken over: TCP without delay, TLS from the start or after STARTTLS, and one answer of
//! bounded length to each command (RFC 5321, 4.2). What a server says without being asked would be taken for the answer
//! to the next command, and so a refused mail for one that was taken: it ends the session.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
pub struct SmtpStream {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    /// Octets that the server may answer to one command.
    longest: usize,
    /// What has come of an answer that is not whole yet.
    begun: Vec<u8>,
    /// What is still to be read of an answer that was whole.
    whole: Vec<u8>,
    /// How many answers there were.
    answers: usize,
    /// The last answer asked for the mail itself.
    takes_mail: bool,
    mail_end: MailEnd,
}

/// Whether the end of the mail that is under way was sent, or some of it: from then on the server may have the mail.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MailEnd(Arc<AtomicBool>);

impl MailEnd {
    /// Begins another mail.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn was_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What ends a mail (RFC 5321, 4.1.1.4), as it is written: alone, after all of the mail.
const END_OF_MAIL: &[u8] = b"\r\n.\r\n";

/// The code of a greeting, of the answer to EHLO, and of the one to DATA (RFC 5321, 4.3.2).
const SERVICE_READY: &[u8] = b"220";
const DONE: &[u8] = b"250";
const GO_AHEAD: &[u8] = b"354";

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl SmtpStream {
    /// Connects to `host`, which may be an address. No more than `longest` octets are read of an answer; `mail_end`
    /// says of each mail whether it was sent to its end.
    ///
    /// # Errors
    /// What the system says when nothing answers there.
    pub async fn connect(host: &str, port: u16, longest: usize, mail_end: MailEnd) -> io::Result<SmtpStream> {
        let stream = connect(host, port).await?;
        // A mail's last line is a small write of its own, and would wait for the answer to the one before.
        stream.set_nodelay(true)?;
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok(SmtpStream {
            stream: Stream::Plain(stream),
            peer,
            local,
            longest,
            begun: Vec::new(),
            whole: Vec::new(),
            answers: 0,
            takes_mail: false,
            mail_end,
        })
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Goes over to TLS, with the certificate checked for `host`.
    ///
    /// # Errors
    /// When the handshake fails or the certificate is not to be trusted.
    pub async fn secure(self, config: &Arc<ClientConfig>, host: &str) -> io::Result<SmtpStream> {
        let Stream::Plain(stream) = self.stream else { return Ok(self) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let said = |why: io::Error| tls::in_words(&why).map_or(why, io::Error::other);
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(said)?;
        Ok(SmtpStream { stream: Stream::Tls(Box::new(stream)), ..self })
    }

    /// Asks for TLS (RFC 3207) and goes over to it; what comes then is the connection as if it had begun encrypted.
    /// `hello` is our name. It is done here because nothing that was said in the clear may be taken for an answer
    /// afterwards.
    ///
    /// # Errors
    /// When the server does not offer it, or what [`SmtpStream::secure`] says.
    pub async fn start_tls(mut self, tls: &Arc<ClientConfig>, host: &str, hello: &str) -> io::Result<SmtpStream> {
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
        let stream = self.secure(tls, host).await?;
        Ok(SmtpStream { begun: GREETING.to_vec(), ..stream })
    }

    /// Reads some octets of an answer; none where the connection is closed.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut octets = [0; 1024];
        let mut buffer = ReadBuf::new(&mut octets);
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        })?;
        self.begun.extend_from_slice(buffer.filled());
        if self.begun.len() > self.longest {
            return Poll::Ready(Err(too_long(self.longest)));
        }
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Takes the answer that has come as a whole. In an old encoding it must not pass for a broken connection, and a
    /// code may stand alone.
    fn take_answer(&mut self) -> io::Result<()> {
        let answer = mem::take(&mut self.begun);
        let code = answer.get(..3).unwrap_or_default();
        let wanted = match self.answers {
            0 => Some(("when it was called", SERVICE_READY)),
            1 => Some(("to EHLO", DONE)),
            _ => None,
        };
        if let Some((asked, wanted)) = wanted
            && matches!(code.first(), Some(b'2' | b'3'))
            && code != wanted
        {
            let said = String::from_utf8_lossy(&answer);
            let wanted = String::from_utf8_lossy(wanted);
            return Err(io::Error::other(format!("the server says {} {asked}, and not {wanted}", said.trim_end())));
        }
        self.answers = self.answers.saturating_add(1);
        self.takes_mail = code == GO_AHEAD;
        let is_text = std::str::from_utf8(&answer).is_ok();
        for line in answer.split_inclusive(|octet| *octet == b'\n') {
            let line = line.trim_ascii_end();
            self.whole.extend(line.iter().map(|octet| if is_text || octet.is_ascii() { *octet } else { b'?' }));
            self.whole.extend_from_slice(if line.len() == 3 { b" \r\n" } else { b"\r\n" });
        }
        Ok(())
    }

    /// Sees to it that the server has not spoken although it was not asked. It may refuse a mail before that is at its
    /// end.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(count) = self.poll_more(cx) {
            let is_closed = count? == 0;
            if is_closed && self.begun.is_empty() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            if !(self.takes_mail && matches!(self.begun.first(), Some(b'4' | b'5'))) {
                let said = String::from_utf8_lossy(&self.begun);
                return Err(unasked(&said));
            }
            if is_closed || is_whole(&self.begun)? {
                break;
            }
        }
        Ok(())
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
    match (lines.find(is_last), lines.next()) {
        (None, _) => Ok(false),
        (Some(_), None) => Ok(true),
        (Some(_), Some(more)) => Err(unasked(&String::from_utf8_lossy(more))),
    }
}

fn unasked(said: &str) -> io::Error {
    let said = said.lines().next().unwrap_or_default();
    io::Error::new(ErrorKind::InvalidData, format!("the server says more than it was asked: {said}"))
}

fn too_long(longest: usize) -> io::Error {
    let said = format!("the server's answer does not end within {longest} octets (limits.max_reply_size)");
    io::Error::new(ErrorKind::InvalidData, said)
}

impl AsyncTokioStream for SmtpStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for SmtpStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.whole.is_empty() {
            if is_whole(&self.begun)? {
                self.take_answer()?;
            } else if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let count = self.whole.len().min(buffer.remaining());
        self.whole.drain(..count).for_each(|octet| buffer.put_slice(&[octet]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SmtpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.listen(cx)?;
        let written = ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        });
        if self.takes_mail && written.is_ok() && END_OF_MAIL.ends_with(octets) {
            self.mail_end.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(written)
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

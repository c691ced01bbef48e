//! A conversation with a mail server (RFC 5321): logging in, then one mail after the other, each step within its time
//! limit (RFC 5321, 4.5.3.2).

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Auth, Data, Mail as MailFrom, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Code, Response, Severity};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::login::{MailLogin, PreparedLogin};
use super::message::Mail;
use super::settings::SmtpSecurity;
use super::stream::{MailEnd, SmtpStream};
use super::trust::Trust;
use crate::delivery::gate::{FileStamps, file_stamps};
use crate::http::ClientError;

/// A mail server and how to log in.
#[derive(Debug)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    /// Whether a connection without encryption may lead to another machine.
    pub allow_plaintext: bool,
    /// None: nobody logs in.
    pub login: Option<MailLogin>,
    /// For the encrypted kinds of `security`.
    pub trust: Trust,
    /// Our name; none: the address that a connection is from stands for it (RFC 5321, 4.1.4).
    pub hello: Option<ClientId>,
    /// Octets of an answer that are read.
    pub max_reply_size: usize,
    pub limits: StepLimits,
}

/// How long each step of a session may take.
#[derive(Clone, Copy, Debug)]
pub struct StepLimits {
    /// Connecting to the host.
    pub connect: Duration,
    /// The answer to a command, the greeting and TLS.
    pub command: Duration,
    /// The mail's text, and the answer to its end.
    pub data: Duration,
}

/// The longest wait for the answer to RSET, after which another connection is the faster way.
const RESET_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the answer to QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a mail did not go out.
#[derive(Debug, PartialEq, Eq)]
pub enum SmtpError {
    /// No mail goes out now, this one or another.
    Down(String),
    /// Likewise, because the server does not accept what the settings say (the login, our name, the sender), or a file
    /// that they name cannot be used.
    Settings(String),
    /// The server ended the session while this mail was under way: that may lie in the mail, or no mail goes out now.
    Cut(String),
    /// The server did not answer to a step of this mail in time: likewise.
    Silent(String),
    /// The connection was closed before this mail, as servers do after a while: a new one may work.
    Stale(String),
    /// The connection broke while this mail was under way, and before its end: the server does not have it.
    Broken(String),
    /// The mail was sent to its end, and the server did not say what it has done with it.
    Unknown(String),
    /// The server does not take this mail: never, or not now.
    Refused { response: String, forever: bool },
}

impl SmtpError {
    /// What the server said, or what went wrong.
    pub fn into_response(self) -> String {
        match self {
            SmtpError::Down(response)
            | SmtpError::Settings(response)
            | SmtpError::Cut(response)
            | SmtpError::Silent(response)
            | SmtpError::Stale(response)
            | SmtpError::Broken(response)
            | SmtpError::Unknown(response) => response,
            SmtpError::Refused { response, .. } => response,
        }
    }
}

impl MailServer {
    /// Connects, goes over to TLS and logs in.
    ///
    /// # Errors
    /// [`SmtpError::Down`] or [`SmtpError::Settings`], whatever it is: without a connection no mail goes out, and what
    /// is wrong can be corrected.
    pub async fn connect(&self) -> Result<Session, SmtpError> {
        let mail_end = MailEnd::default();
        Ok(Session { smtp: self.open(mail_end.clone()).await?, carried: false, mail_end })
    }

    /// Whether the files are there that the settings name: those of TLS where it is encrypted, and of the login.
    ///
    /// # Errors
    /// [`SmtpError::Settings`] when one of them cannot be used.
    pub fn ready(&self) -> Result<(), SmtpError> {
        self.tls()?;
        self.login.as_ref().map_or(Ok(()), MailLogin::ready).map_err(SmtpError::Settings)
    }

    /// What TLS needs, where the connection is encrypted. The files are read for each connection.
    fn tls(&self) -> Result<Option<Arc<ClientConfig>>, SmtpError> {
        match self.security {
            SmtpSecurity::Plain => Ok(None),
            SmtpSecurity::Implicit | SmtpSecurity::StartTls => {
                self.trust.tls().map(Some).map_err(|error| SmtpError::Settings(error.to_string()))
            }
        }
    }

    /// What logs in. It is got for each connection.
    async fn prepared_login(&self) -> Result<Option<PreparedLogin>, SmtpError> {
        let Some(login) = &self.login else { return Ok(None) };
        match login.prepare().await {
            Ok(prepared) => Ok(Some(prepared)),
            Err(error @ ClientError::Later { .. }) => Err(SmtpError::Down(error.to_string())),
            Err(error) => Err(SmtpError::Settings(error.to_string())),
        }
    }

    /// What changes when one of these files does.
    pub fn files(&self) -> FileStamps {
        file_stamps([self.login.as_ref().and_then(MailLogin::stamp), self.trust.stamp()])
    }

    async fn open(&self, mail_end: MailEnd) -> Result<AsyncSmtpConnection, SmtpError> {
        let tls = self.tls()?;
        let login = self.prepared_login().await?;
        let StepLimits { connect, command, .. } = self.limits;
        let stream = SmtpStream::connect(&self.host, self.port, self.max_reply_size, mail_end);
        let stream = self.step(connect, "being called", stream).await?;
        let hello = self.hello.clone().unwrap_or_else(|| literal(stream.local()));
        let stream = match (self.security, &tls) {
            (SmtpSecurity::Plain, _) if self.allow_plaintext || stream.peer().ip().is_loopback() => stream,
            (SmtpSecurity::Implicit, Some(tls)) => self.step(command, "TLS", stream.secure(tls, &self.host)).await?,
            (SmtpSecurity::StartTls, Some(tls)) => {
                self.step(command, "STARTTLS", stream.start_tls(tls, &self.host, &hello.to_string())).await?
            }
            _ => {
                return Err(SmtpError::Down(format!(
                    "{} is not on this machine: mail needs TLS to get there",
                    self.name()
                )));
            }
        };
        let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello);
        let mut smtp = self.command("EHLO", greeting).await?;
        if let Some(login) = &login {
            self.log_in(&mut smtp, login).await?;
        }
        Ok(smtp)
    }

    async fn log_in(&self, smtp: &mut AsyncSmtpConnection, login: &PreparedLogin) -> Result<(), SmtpError> {
        if login.is_token() && !smtp.server_info().supports_auth_mechanism(Mechanism::Xoauth2) {
            let reason =
                format!("{} at AUTH: the server does not offer XOAUTH2, which access tokens need", self.name());
            return Err(SmtpError::Settings(reason));
        }
        let response = match self.command("AUTH", authenticated(smtp, login)).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(mail_login) = &self.login {
                    mail_login.refused(login).await;
                }
                return Err(error);
            }
        };
        exactly(&[235], &response).map_err(|message| SmtpError::Down(format!("{} at AUTH: {message}", self.name())))
    }

    /// How the server is called in answers.
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What a session with it is like, in a few words.
    pub fn greeted(&self) -> String {
        let security = match self.security {
            SmtpSecurity::Implicit => "TLS",
            SmtpSecurity::StartTls => "STARTTLS",
            SmtpSecurity::Plain => "not encrypted",
        };
        let login = if self.login.is_some() { "logged in" } else { "no login" };
        format!("{} answers ({security}, {login})", self.name())
    }

    /// One step towards a connection that is not yet SMTP.
    async fn step<T>(
        &self,
        limit: Duration,
        step: &str,
        work: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, SmtpError> {
        match timeout(limit, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(SmtpError::Down(format!("{}: the server closed the connection at {step}", self.name())))
            }
            Ok(Err(error)) => Err(SmtpError::Down(format!("{}: {error}{}", self.name(), self.port_hint(step)))),
            Err(_) => Err(SmtpError::Down(format!("{}{}", self.silent(step), self.port_hint(step)))),
        }
    }

    /// What to do where `step` fails for the port may be that of the other way to encrypt (RFC 8314, 3.3).
    fn port_hint(&self, step: &str) -> &'static str {
        match (step, self.port) {
            ("TLS", 587) => "; smtp://, which is STARTTLS, is what port 587 usually takes",
            ("STARTTLS", 465) => "; smtps:// is what port 465 usually takes",
            _ => "",
        }
    }

    /// One step of SMTP towards a connection that mails can be sent over.
    async fn command<T>(&self, step: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, SmtpError> {
        match timeout(self.limits.command, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let message = format!("{} at {step}: {}", self.name(), words(&error));
                Err(if error.status().is_some_and(is_forever) {
                    SmtpError::Settings(message)
                } else {
                    SmtpError::Down(message)
                })
            }
            Err(_) => Err(SmtpError::Down(self.silent(step))),
        }
    }

    fn silent(&self, step: &str) -> String {
        format!("{} did not answer to {step} in time", self.name())
    }
}

/// The answer to AUTH.
async fn authenticated(smtp: &mut AsyncSmtpConnection, login: &PreparedLogin) -> Result<Response, Error> {
    if !login.is_token() {
        return smtp.auth(login.mechanisms, &login.credentials).await;
    }
    let response = smtp.command(Auth::new(Mechanism::Xoauth2, login.credentials.clone(), None)?).await?;
    // A server that does not accept the token says why in a challenge, and refuses it once that is answered.
    if response.has_code(334) { smtp.command("\r\n").await } else { Ok(response) }
}

/// A step of a session: the codes that it must be answered with, and how long that may take.
struct SmtpStep {
    name: &'static str,
    codes: &'static [u16],
    limit: Duration,
}

/// A connection that mails can be sent over.
pub struct Session {
    smtp: AsyncSmtpConnection,
    /// Mails went over it before.
    carried: bool,
    /// Whether the mail that is under way was sent to its end.
    mail_end: MailEnd,
}

impl Session {
    /// Sends one mail. After [`SmtpError::Refused`] the session can go on if [`Session::reset`] says so, after another
    /// error it is to be dropped.
    ///
    /// # Errors
    /// [`SmtpError`]
    pub async fn deliver(&mut self, mail: &Mail, server: &MailServer) -> Result<(), SmtpError> {
        let StepLimits { command, data, .. } = server.limits;
        self.begin(mail.from.clone(), &mail.to, server).await?;
        self.rcpt(mail.to.clone(), server).await?;
        self.step(SmtpStep { name: "DATA", codes: &[354], limit: command }, server, async |smtp| {
            smtp.command(Data).await
        })
        .await?;
        let octets = &mail.octets;
        let step = SmtpStep { name: "the mail itself", codes: &[250], limit: data };
        let sent = self.step(step, server, async |smtp| smtp.message(octets).await).await;
        sent.map_err(|error| match error {
            SmtpError::Broken(response) | SmtpError::Silent(response) if self.may_have_sent() => {
                SmtpError::Unknown(response)
            }
            other => other,
        })
    }

    /// Whether the server may have the mail that is under way: it was sent to its end.
    pub fn may_have_sent(&self) -> bool {
        self.mail_end.was_sent()
    }

    /// Finds out whether the server would take a mail from `from` to `to`, and sends none.
    ///
    /// # Errors
    /// As for [`Session::deliver`].
    pub async fn probe(&mut self, from: Address, to: Address, server: &MailServer) -> Result<(), SmtpError> {
        self.begin(from, &to, server).await?;
        self.rcpt(to, server).await
    }

    async fn begin(&mut self, from: Address, to: &Address, server: &MailServer) -> Result<(), SmtpError> {
        self.mail_end.clear();
        let command = MailFrom::new(Some(from.clone()), self.parameters(to)?);
        let begun = timeout(server.limits.command, self.smtp.command(command)).await;
        let begun = begun.map_err(|_| SmtpError::Down(server.silent("MAIL")))?;
        let response = begun.map_err(|error| self.not_begun(&error, &from, server))?;
        exactly(&[250], &response).map_err(SmtpError::Broken)?;
        self.carried = true;
        Ok(())
    }

    /// What MAIL asks for because of the recipient: SMTPUTF8 (RFC 6531, 3.4) if the address has letters outside ASCII.
    ///
    /// # Errors
    /// [`SmtpError::Refused`] if the server does not offer that.
    fn parameters(&self, to: &Address) -> Result<Vec<MailParameter>, SmtpError> {
        if to.user().is_ascii() {
            return Ok(Vec::new());
        }
        if !self.smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
            let response = "the recipient has letters outside ASCII before the @, which needs SMTPUTF8, and the server does \
                not offer it";
            return Err(SmtpError::Refused { response: response.to_owned(), forever: true });
        }
        Ok(vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)])
    }

    async fn rcpt(&mut self, to: Address, server: &MailServer) -> Result<(), SmtpError> {
        let rcpt = Rcpt::new(to, Vec::new());
        // 251: it forwards.
        let step = SmtpStep { name: "RCPT", codes: &[250, 251], limit: server.limits.command };
        let done = self.step(step, server, async |smtp| smtp.command(rcpt).await).await;
        // Many servers wait with what they have against us until a recipient is named.
        done.map_err(|error| match error {
            SmtpError::Refused { response, forever } if is_about_us(&response) => {
                let message = format!("{} at RCPT: {response}", server.name());
                if forever { SmtpError::Settings(message) } else { SmtpError::Down(message) }
            }
            // It may need a login that the settings lack, or not serve that recipient.
            SmtpError::Refused { response, .. } if is_about_relaying(&response) => {
                SmtpError::Refused { response, forever: false }
            }
            other => other,
        })
    }

    /// One step in the midst of a mail, which the server is to answer with one of `codes` within `limit`.
    async fn step(
        &mut self,
        step: SmtpStep,
        server: &MailServer,
        work: impl AsyncFnOnce(&mut AsyncSmtpConnection) -> Result<Response, Error>,
    ) -> Result<(), SmtpError> {
        let done = timeout(step.limit, work(&mut self.smtp)).await;
        let response =
            done.map_err(|_| SmtpError::Silent(server.silent(step.name)))?.map_err(|error| under_way(&error))?;
        exactly(step.codes, &response).map_err(SmtpError::Broken)
    }

    /// Makes the session ready for the next mail after one was refused; false when it cannot be used any more.
    pub async fn reset(&mut self) -> bool {
        let reset = timeout(RESET_TIMEOUT, self.smtp.command(Rset)).await;
        reset.is_ok_and(|response| response.is_ok_and(|response| exactly(&[250], &response).is_ok()))
    }

    /// Ends the session.
    pub async fn quit(mut self) {
        let _ = timeout(QUIT_TIMEOUT, self.smtp.command(Quit)).await;
    }

    /// What an answer to MAIL means. No recipient is named yet, so a refusal is none of a mail. A server that has
    /// carried mails may have ended the session meanwhile.
    fn not_begun(&self, error: &Error, from: &Address, server: &MailServer) -> SmtpError {
        let message = || format!("{} at MAIL FROM:<{from}>: {}", server.name(), words(error));
        match error.status() {
            Some(code) if is_forever(code) => SmtpError::Settings(message()),
            Some(code) if !is_goodbye(code) => SmtpError::Down(message()),
            _ if self.carried => SmtpError::Stale(words(error)),
            _ => SmtpError::Down(words(error)),
        }
    }
}

/// The address of `local` as a host without a name introduces itself.
fn literal(local: SocketAddr) -> ClientId {
    match local.ip() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(ClientId::Ipv6(address), ClientId::Ipv4),
    }
}

/// Whether an answer to RCPT is about our name or our sender, and not about the recipient: its code, its enhanced code
/// (RFC 3463, 3.2) or its words say so.
fn is_about_us(response: &str) -> bool {
    const CODES: [&str; 3] = ["1.7", "1.8", "7.60"];
    const WORDS: [&str; 7] = [
        "sender address rejected",
        "helo command rejected",
        "client host rejected",
        "sender verify fail",
        "not owned by user",
        "send as this sender",
        "sender denied",
    ];
    let (code, rest) = response.split_once([' ', '-']).unwrap_or((response, ""));
    let enhanced = rest.split(' ').next().unwrap_or_default();
    let subject = enhanced.split_once('.').filter(|(class, _)| matches!(*class, "4" | "5"));
    let lower = response.to_lowercase();
    code == "504"
        || subject.is_some_and(|(_, subject)| CODES.contains(&subject))
        || WORDS.iter().any(|words| lower.contains(words))
}

/// Whether an answer to RCPT says that the server does not pass mails on, from here or to there.
fn is_about_relaying(response: &str) -> bool {
    let lower = response.to_lowercase();
    ["relay access denied", "relaying denied", "relay not permitted", "unable to relay", "not permitted to relay"]
        .iter()
        .any(|words| lower.contains(words))
}

/// Whether `response` is one of `codes`; the answer where it is not, although it is no refusal: it is unknown what the
/// server has understood.
fn exactly(codes: &[u16], response: &Response) -> Result<(), String> {
    if codes.iter().any(|code| response.has_code(*code)) {
        return Ok(());
    }
    let words: Vec<&str> = response.message().collect();
    Err(format!("the server says {} {}, which is no answer to what it was asked", response.code(), words.join(" ")))
}

/// What a failure in the midst of a mail means.
fn under_way(error: &Error) -> SmtpError {
    let response = words(error);
    match error.status() {
        Some(code) if is_goodbye(code) => SmtpError::Cut(response),
        // Wrong settings rather than a wrong recipient: no mail goes out until they are corrected.
        Some(code) if is_about_login(code) => SmtpError::Settings(response),
        Some(code) => SmtpError::Refused { response, forever: is_forever(code) },
        None => SmtpError::Broken(response),
    }
}

/// A refusal that stays one. (A server whose list of users is not at hand says 454, and may find it again.)
fn is_forever(code: Code) -> bool {
    code.severity == Severity::PermanentNegativeCompletion
}

/// 421: the server ends the session.
fn is_goodbye(code: Code) -> bool {
    u16::from(code) == 421
}

/// Authentication required, too weak, failed, or encryption required for it (RFC 4954, 6).
fn is_about_login(code: Code) -> bool {
    matches!(u16::from(code), 454 | 530 | 534 | 535 | 538)
}

/// The server's own words with their code (`550 5.1.1 No such user`), or what went wrong with the connection.
fn words(error: &Error) -> String {
    match (error.status(), error.source()) {
        (Some(code), Some(words)) => format!("{code} {words}"),
        (Some(code), None) => code.to_string(),
        (None, Some(source)) if error.is_response() => format!("the server broke off: {source}"),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}

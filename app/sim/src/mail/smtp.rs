//! A small SMTP server: enough for every mail library, without TLS and without sending on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::faults::FaultKind;
use crate::world::World;

const MAX_CONNECTIONS: usize = 64;
/// Together with the connections above, this bounds what mails on their way can hold.
const MAX_MAIL: usize = 10 << 20;
const MAX_LINE: usize = 4096;
const MAX_RECIPIENTS: usize = 100;
const MAX_BAD_COMMANDS: u32 = 20;
const IDLE: Duration = Duration::from_secs(300);

pub(crate) async fn serve(
    listener: TcpListener,
    world: Arc<World>,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let Ok((mut stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(seat) = room.clone().try_acquire_owned() else {
            let _ = stream.write_all(b"421 too many connections, try later\r\n").await;
            continue;
        };
        let world = world.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let _seat = seat;
            tokio::select! {
                // A broken connection is the caller's affair.
                _ = Session::run(stream, &world) => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

/// What was said since the last mail.
#[derive(Default)]
struct Session {
    greeted: bool,
    from: Option<String>,
    to: Vec<String>,
    bad: u32,
}

/// What a line of input turned out to be.
enum Line {
    Text(String),
    TooLong,
    Closed,
}

impl Session {
    async fn run(stream: TcpStream, world: &World) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let mut io = BufStream::new(stream);
        let mut session = Session::default();
        say(&mut io, "220 mela-sim mail catcher").await?;
        loop {
            let line = match tokio::time::timeout(IDLE, read_line(&mut io)).await {
                Err(_) => return say(&mut io, "421 idle for too long").await,
                Ok(line) => line?,
            };
            let text = match line {
                Line::Closed => return Ok(()),
                Line::TooLong => {
                    session.bad += 1;
                    say(&mut io, "500 line too long").await?;
                    continue;
                }
                Line::Text(text) => text,
            };
            let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
            match verb.to_ascii_uppercase().as_str() {
                "QUIT" => return say(&mut io, "221 bye").await,
                "DATA" => {
                    if !session.data(&mut io, world).await? {
                        return Ok(());
                    }
                }
                "AUTH" => session.auth(&mut io, rest).await?,
                verb => {
                    let answer = session.command(verb, rest);
                    say(&mut io, &answer).await?;
                }
            }
            if session.bad > MAX_BAD_COMMANDS {
                return say(&mut io, "421 too many errors").await;
            }
        }
    }

    fn command(&mut self, verb: &str, rest: &str) -> String {
        let answer = match verb {
            "HELO" | "EHLO" => {
                *self = Session { greeted: true, bad: self.bad, ..Session::default() };
                if verb == "HELO" {
                    "250 mela-sim".into()
                } else {
                    format!(
                        "250-mela-sim\r\n250-SIZE {MAX_MAIL}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN"
                    )
                }
            }
            "NOOP" => "250 ok".into(),
            "VRFY" => "252 cannot tell, but will take mail for it".into(),
            "RSET" => {
                self.from = None;
                self.to.clear();
                "250 ok".into()
            }
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            _ => "500 unknown command".into(),
        };
        if answer.starts_with('5') {
            self.bad += 1;
        }
        answer
    }

    fn mail(&mut self, rest: &str) -> String {
        if !self.greeted {
            return "503 say EHLO first".into();
        }
        if self.from.is_some() {
            return "503 a mail has been started already".into();
        }
        let Some((from, options)) = path(rest, "FROM:") else {
            return "501 say MAIL FROM:<address>".into();
        };
        let size = options.split_whitespace().find_map(|option| {
            let (name, value) = option.split_once('=')?;
            name.eq_ignore_ascii_case("SIZE").then(|| value.parse::<usize>().unwrap_or(usize::MAX))
        });
        if size.is_some_and(|size| size > MAX_MAIL) {
            return format!("552 a mail may have {MAX_MAIL} bytes");
        }
        self.from = Some(from);
        "250 ok".into()
    }

    fn rcpt(&mut self, rest: &str) -> String {
        if self.from.is_none() {
            return "503 say MAIL first".into();
        }
        if self.to.len() >= MAX_RECIPIENTS {
            return format!("452 a mail may have {MAX_RECIPIENTS} recipients");
        }
        match path(rest, "TO:") {
            Some((to, _)) if to.contains('@') => {
                self.to.push(to);
                "250 ok".into()
            }
            _ => "501 say RCPT TO:<address>".into(),
        }
    }

    /// Any name and password will do.
    async fn auth(&mut self, io: &mut BufStream<TcpStream>, rest: &str) -> io::Result<()> {
        let mut words = rest.split_whitespace();
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        // "VXNlcm5hbWU6" and "UGFzc3dvcmQ6" ask for the user name and the password.
        let questions: &[&str] = match (mechanism.as_str(), words.next()) {
            ("PLAIN", Some(_)) => &[],
            ("PLAIN", None) => &["334 "],
            ("LOGIN", Some(_)) => &["334 UGFzc3dvcmQ6"],
            ("LOGIN", None) => &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            _ => {
                self.bad += 1;
                return say(io, "504 only PLAIN and LOGIN").await;
            }
        };
        for question in questions {
            say(io, question).await?;
            match tokio::time::timeout(IDLE, read_line(io)).await {
                Ok(Ok(Line::Text(text))) if text != "*" => {}
                _ => return say(io, "501 authentication given up").await,
            }
        }
        say(io, "235 welcome").await
    }

    /// Takes the mail itself. False when the connection must end.
    async fn data(&mut self, io: &mut BufStream<TcpStream>, world: &World) -> io::Result<bool> {
        if self.from.is_none() || self.to.is_empty() {
            self.bad += 1;
            say(io, "503 say MAIL and RCPT first").await?;
            return Ok(true);
        }
        let fault = world.faults.take(world, "mail", "deliver");
        say(io, "354 end with a dot alone on a line").await?;
        let Some(raw) = read_mail(io).await? else { return Ok(false) };
        let from = self.from.take().unwrap_or_default();
        let to = std::mem::take(&mut self.to);
        if raw.len() > MAX_MAIL {
            say(io, &format!("552 a mail may have {MAX_MAIL} bytes")).await?;
            return Ok(true);
        }
        if let Some(plan) = fault {
            tokio::time::sleep(plan.latency).await;
        }
        let kind = fault.map(|plan| plan.kind);
        let keep = !matches!(
            kind,
            Some(FaultKind::TimeoutBefore | FaultKind::ErrorBefore | FaultKind::TooManyRequests)
        );
        if keep {
            world.mail.lock().put(world.clock.now_ms(), from, to, raw);
        }
        match (kind, fault) {
            (None | Some(FaultKind::Latency), _) => say(io, "250 taken").await?,
            (Some(FaultKind::TimeoutBefore | FaultKind::TimeoutAfter), Some(plan)) => {
                tokio::time::sleep(plan.hang).await;
                return Ok(false);
            }
            (Some(FaultKind::TooManyRequests), _) => {
                say(io, "421 too much mail, try later").await?;
                return Ok(false);
            }
            (Some(FaultKind::TruncatedJson), _) => {
                io.write_all(b"25").await?;
                io.flush().await?;
                return Ok(false);
            }
            _ => say(io, "451 local error, try later").await?,
        }
        Ok(true)
    }
}

async fn say(io: &mut (impl AsyncWrite + Unpin), line: &str) -> io::Result<()> {
    io.write_all(line.as_bytes()).await?;
    io.write_all(b"\r\n").await?;
    io.flush().await
}

/// A line without its end. A longer one is read to its end and forgotten.
async fn read_line(io: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        let chunk = io.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(Line::Closed);
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let taken = end.map_or(chunk.len(), |at| at + 1);
        length += taken;
        if length <= MAX_LINE {
            line.extend_from_slice(&chunk[..taken]);
        }
        io.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if length > MAX_LINE {
        return Ok(Line::TooLong);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Line::Text(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Reads to the lone dot and undoes the dot-stuffing. Of a mail that is too large only slightly more
/// than the limit is kept, so that the caller sees that it is; of one without end the connection is
/// given up (`None`), as of one that broke off.
async fn read_mail(io: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut mail = Vec::new();
    let mut line = Vec::new();
    let mut total = 0_usize;
    loop {
        let chunk = match tokio::time::timeout(IDLE, io.fill_buf()).await {
            Ok(chunk) => chunk?,
            Err(_) => return Ok(None),
        };
        if chunk.is_empty() {
            return Ok(None);
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let taken = end.map_or(chunk.len(), |at| at + 1);
        total += taken;
        if total > 4 * MAX_MAIL {
            return Ok(None);
        }
        if line.len() + mail.len() <= MAX_MAIL {
            line.extend_from_slice(&chunk[..taken]);
        } else if line.len() < 16 {
            // Still enough of the line to recognise the final dot.
            line.extend_from_slice(&chunk[..taken.min(16)]);
        }
        io.consume(taken);
        if end.is_none() {
            continue;
        }
        if matches!(line.as_slice(), b".\r\n" | b".\n") {
            return Ok(Some(mail));
        }
        if mail.len() <= MAX_MAIL {
            let unstuffed = line.strip_prefix(b".").unwrap_or(&line);
            mail.extend_from_slice(unstuffed);
        }
        line.clear();
    }
}

/// `FROM:<a@b> SIZE=1` → the address and the options. The empty address is that of bounces.
fn path(rest: &str, keyword: &str) -> Option<(String, String)> {
    let rest = rest.trim_start();
    let head = rest.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = rest[keyword.len()..].trim_start();
    let (address, options) = rest.strip_prefix('<')?.split_once('>')?;
    let bad = |c: char| c.is_control() || c == '<' || c == ' ';
    if address.len() > 320 || address.contains(bad) {
        return None;
    }
    Some((address.to_owned(), options.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dots_are_unstuffed_and_line_ends_kept() {
        let mut input: &[u8] = b"Subject: x\r\n\r\n..dot\r\nplain\r\n.\r\nQUIT\r\n";
        let mail = read_mail(&mut input).await.unwrap().unwrap();
        assert_eq!(mail, b"Subject: x\r\n\r\n.dot\r\nplain\r\n");
        assert_eq!(input, b"QUIT\r\n");
    }

    #[tokio::test]
    async fn a_mail_that_breaks_off_is_none() {
        let mut input: &[u8] = b"Subject: x\r\n\r\nhalf";
        assert!(read_mail(&mut input).await.unwrap().is_none());
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(path("FROM:<a@b> SIZE=1", "FROM:"), Some(("a@b".into(), " SIZE=1".into())));
        assert_eq!(path("from: <>", "FROM:"), Some((String::new(), String::new())));
        assert_eq!(path("FROM:a@b", "FROM:"), None);
        assert_eq!(path("é", "FROM:"), None);
    }
}

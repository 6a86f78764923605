use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use mela_base::{Env, Id, Internal};
use mela_crypto::Secret;
use mela_notify_api::{Mail, MailSender, NotifyError};

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: for a server on this machine.
    Off,
    /// By STARTTLS, without which nothing is sent.
    StartTls,
    /// From the first byte.
    Implicit,
}

impl SmtpTls {
    /// What is right for this server: nothing on this machine itself, TLS from the start on the
    /// port that is meant for it, else STARTTLS.
    pub fn for_server(host: &str, port: u16) -> Self {
        let local = host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match port {
            _ if local => Self::Off,
            465 => Self::Implicit,
            _ => Self::StartTls,
        }
    }
}

/// How to reach the mail server.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender's address, also with a name: `Mela <orders@shop.example>`.
    pub from: String,
    /// The account; empty for none.
    pub username: String,
    /// The account's password.
    pub password: Secret,
    /// Protection of the connection.
    pub tls: SmtpTls,
    /// How long each step of the server may take.
    pub timeout: Duration,
}

/// Sends mail over SMTP, one connection per mail.
pub struct SmtpMail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    env: Env,
}

impl SmtpMail {
    /// A sender through this server.
    pub fn new(config: SmtpConfig, env: Env) -> Result<Self, NotifyError> {
        let from: Mailbox = config.from.parse().map_err(|e| {
            Internal::new(format_args!("the sender's address is not an e-mail address: {e}"))
        })?;
        let protected = || TlsParameters::new(config.host.clone()).map_err(Internal::new);
        let tls = match config.tls {
            SmtpTls::Off => Tls::None,
            SmtpTls::StartTls => Tls::Required(protected()?),
            SmtpTls::Implicit => Tls::Wrapper(protected()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(config.timeout));
        if !config.username.is_empty() {
            let password = config.password.expose().clone();
            builder = builder.credentials(Credentials::new(config.username.clone(), password));
        }
        Ok(Self { transport: builder.build(), from, env })
    }

    fn message(&self, mail: Mail) -> Result<Message, NotifyError> {
        let to: Mailbox = mail
            .to
            .parse()
            .map_err(|_| NotifyError::Refused("this is not an e-mail address".into()))?;
        let id: Id = self.env.new_id();
        let at = UNIX_EPOCH + Duration::from_micros(self.env.now().micros().unsigned_abs());
        let domain = self.from.email.domain();
        let builder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject)
            .date(at)
            .message_id(Some(format!("<{id}@{domain}>")));
        let text = SinglePart::plain(mail.text);
        let built = if mail.attachments.is_empty() {
            builder.singlepart(text)
        } else {
            let mut parts = MultiPart::mixed().boundary(id.to_string()).singlepart(text);
            for file in mail.attachments {
                let kind = ContentType::parse(&file.content_type)
                    .map_err(|_| NotifyError::Refused("an attachment has no valid type".into()))?;
                parts = parts.singlepart(Attachment::new(file.name).body(file.content, kind));
            }
            builder.multipart(parts)
        };
        built.map_err(|e| NotifyError::Refused(e.to_string()))
    }
}

#[async_trait]
impl MailSender for SmtpMail {
    async fn send(&self, mail: Mail) -> Result<(), NotifyError> {
        let message = self.message(mail)?;
        self.transport.send(message).await.map(drop).map_err(|error| {
            // The server's sentence may repeat the address; its number does not.
            let status = error.status().map(u16::from).unwrap_or_default();
            tracing::warn!(status, permanent = error.is_permanent(), "mail not handed over");
            if error.is_permanent() {
                NotifyError::Refused(format!("the mail server answered {status}"))
            } else {
                NotifyError::Unavailable
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_goes_without_tls() {
        for local in ["localhost", "127.0.0.1", "::1", "127.8.8.8"] {
            assert_eq!(SmtpTls::for_server(local, 465), SmtpTls::Off);
        }
        assert_eq!(SmtpTls::for_server("smtp.example.com", 465), SmtpTls::Implicit);
        for port in [25, 587, 2525] {
            assert_eq!(SmtpTls::for_server("smtp.example.com", port), SmtpTls::StartTls);
        }
    }
}

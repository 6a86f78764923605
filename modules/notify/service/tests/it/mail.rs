use std::time::Duration;

use mela_base::Env;
use mela_notify::{SmtpConfig, SmtpMail, SmtpTls};
use mela_notify_api::{Attachment, Mail, MailSender, NotifyError};

use crate::world::*;

fn config(port: u16) -> SmtpConfig {
    SmtpConfig {
        host: "127.0.0.1".into(),
        port,
        from: "Mela <orders@mela.example>".into(),
        username: String::new(),
        password: "".into(),
        tls: SmtpTls::for_server("127.0.0.1", port),
        timeout: Duration::from_secs(5),
    }
}

fn mail(to: &str) -> Mail {
    Mail {
        to: to.into(),
        subject: "Invoice MEL/26-27/1 – धन्यवाद".into(),
        text: "Thank you.\n.\nआपका ऑर्डर\n".into(),
        attachments: Vec::new(),
    }
}

#[tokio::test]
async fn a_mail_arrives_with_its_files() {
    let sim = sim().await;
    let smtp = SmtpMail::new(config(sim.smtp_addr().port()), Env::system()).unwrap();
    let mut with_file = mail("Asha Rao <asha@example.in>");
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    with_file.attachments.push(Attachment {
        name: "invoice.pdf".into(),
        content_type: "application/pdf".into(),
        content: content.clone(),
    });
    smtp.send(with_file).await.unwrap();
    smtp.send(mail("plain@example.in")).await.unwrap();

    let listed = get(&sim, "/_sim/mail?to=asha@example.in").await;
    let mails = listed["messages"].as_array().or(listed["mails"].as_array()).unwrap();
    assert_eq!(mails.len(), 1);
    let id = mails[0]["id"].clone();
    let full = get(&sim, &format!("/_sim/mail/{id}")).await;
    assert_eq!(full["subject"], "Invoice MEL/26-27/1 – धन्यवाद");
    let text = full["text"].as_str().unwrap().replace("\r\n", "\n");
    assert_eq!(text.trim_end(), "Thank you.\n.\nआपका ऑर्डर");
    let url = format!("{}/_sim/mail/{id}/attachments/0", sim.ui_url());
    let file = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert_eq!(file, content);
}

#[tokio::test]
async fn bad_mails_are_refused_before_they_leave() {
    let sim = sim().await;
    let smtp = SmtpMail::new(config(sim.smtp_addr().port()), Env::system()).unwrap();
    for to in ["", "asha", "a@b@c", "asha@example.in\r\nBcc: all@example.in", "a@x.in, b@x.in"] {
        let refused = smtp.send(mail(to)).await;
        assert!(matches!(refused, Err(NotifyError::Refused(_))), "{to:?}");
    }
    let mut typeless = mail("asha@example.in");
    typeless.attachments.push(Attachment {
        name: "x".into(),
        content_type: "no type".into(),
        content: Vec::new(),
    });
    assert!(matches!(smtp.send(typeless).await, Err(NotifyError::Refused(_))));
    let mut split = mail("asha@example.in");
    split.subject = "Hello\r\nBcc: all@example.in".into();
    smtp.send(split).await.unwrap();
    let raw = get(&sim, "/_sim/mail/1/raw").await;
    assert!(!raw.as_str().unwrap().contains("\nBcc:"));

    let nowhere = SmtpConfig { from: "nobody".into(), ..config(1) };
    assert!(matches!(SmtpMail::new(nowhere, Env::system()), Err(NotifyError::Internal(_))));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let away = SmtpMail::new(config(1), Env::system()).unwrap();
    assert!(matches!(away.send(mail("a@x.in")).await, Err(NotifyError::Unavailable)));
    // One that offers no TLS where TLS was wanted gets nothing.
    let sim = sim().await;
    let strict = SmtpConfig { tls: SmtpTls::StartTls, ..config(sim.smtp_addr().port()) };
    let strict = SmtpMail::new(strict, Env::system()).unwrap();
    strict.send(mail("a@x.in")).await.unwrap_err();
    let listed = get(&sim, "/_sim/mail").await;
    assert_eq!(listed["arrived"], 0);
}

//! The mail catcher over a plain socket.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use crate::{Ground, ground};

struct Smtp(BufStream<TcpStream>);

impl Smtp {
    async fn open(g: &Ground) -> Self {
        let mut smtp = Self(BufStream::new(TcpStream::connect(g.sim.smtp_addr()).await.unwrap()));
        assert!(smtp.answer().await.starts_with("220"));
        smtp
    }

    async fn answer(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.unwrap_or(0) == 0 {
                return all;
            }
            all.push_str(&line);
            if line.as_bytes().get(3) == Some(&b' ') {
                return all;
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.write_all(line.as_bytes()).await.unwrap();
        self.0.write_all(b"\r\n").await.unwrap();
        self.0.flush().await.unwrap();
        self.answer().await
    }

    async fn expect(&mut self, line: &str, code: &str) {
        let answer = self.say(line).await;
        assert!(answer.starts_with(code), "{line}: {answer}");
    }

    async fn send(&mut self, to: &str, mail: &str) -> String {
        self.expect("MAIL FROM:<shop@mela.example>", "250").await;
        self.expect(&format!("RCPT TO:<{to}>"), "250").await;
        self.expect("DATA", "354").await;
        self.0.write_all(mail.as_bytes()).await.unwrap();
        self.say("\r\n.").await
    }
}

const MAIL: &str = concat!(
    "From: =?utf-8?B?4KSu4KWH4KSy4KS+?= <shop@mela.example>\r\n",
    "To: a@b.example\r\nSubject: =?utf-8?Q?Your_invoice_=E2=82=B9?=\r\nMIME-Version: 1.0\r\n",
    "Content-Type: multipart/mixed; boundary=X\r\n\r\n",
    "--X\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n..hidden dot\r\n..\r\nend\r\n",
    "--X\r\nContent-Type: application/pdf; name=\"in voice.pdf\"\r\nContent-Transfer-Encoding: base64\r\n",
    "Content-Disposition: attachment; filename=\"in voice.pdf\"\r\n\r\nJVBERi0xLjcKAAH/\r\n--X--",
);

#[tokio::test]
async fn a_mail_with_an_attachment_arrives_as_it_was() {
    let g = ground().await;
    let mut smtp = Smtp::open(&g).await;
    let ehlo = smtp.say("EHLO test").await;
    assert!(ehlo.contains("AUTH PLAIN LOGIN") && ehlo.contains("SIZE 10485760"));
    smtp.expect("AUTH PLAIN AHUAcA==", "235").await;
    smtp.expect("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    smtp.expect("dQ==", "334 UGFzc3dvcmQ6").await;
    smtp.expect("cA==", "235").await;
    assert!(smtp.send("a@b.example", MAIL).await.starts_with("250"));
    smtp.expect("QUIT", "221").await;
    let list = g.get("/_sim/mail?to=A@B.example").await;
    assert_eq!(list["mails"][0]["subject"], "Your invoice ₹");
    let mail = g.get("/_sim/mail/1").await;
    assert_eq!(mail["text"], ".hidden dot\r\n.\r\nend", "dots are unstuffed");
    assert_eq!(mail["header_from"], json!(["मेला <shop@mela.example>"]));
    assert_eq!(mail["attachments"][0]["name"], "in voice.pdf");
    let file = g.http.get(g.url("/_sim/mail/1/attachments/0")).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "application/pdf");
    assert_eq!(file.headers()["content-disposition"], "attachment; filename=\"in_voice.pdf\"");
    assert_eq!(file.bytes().await.unwrap().as_ref(), b"%PDF-1.7\n\x00\x01\xff");
    let none = g.http.get(g.url("/_sim/mail/1/attachments/1")).send().await.unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_session_is_kept_in_order() {
    let g = ground().await;
    let mut smtp = Smtp::open(&g).await;
    smtp.expect("MAIL FROM:<a@b>", "503").await;
    smtp.expect("HELO x", "250").await;
    smtp.expect("DATA", "503").await;
    smtp.expect("RCPT TO:<a@b>", "503").await;
    smtp.expect("MAIL FROM:a@b", "501").await;
    smtp.expect("MAIL FROM:<a@b> SIZE=99999999", "552").await;
    smtp.expect("MAIL FROM:<a@b>", "250").await;
    smtp.expect("MAIL FROM:<a@b>", "503").await;
    smtp.expect("RCPT TO:<nobody>", "501").await;
    smtp.expect(&"x".repeat(10_000), "500").await;
    smtp.expect("\u{0}\u{1}é", "500").await;
    smtp.expect("RSET", "250").await;
    smtp.expect("DATA", "503").await;
    let mut last = String::new();
    for _ in 0..30 {
        last = smtp.say("NONSENSE").await;
        if last.starts_with("421") {
            break;
        }
    }
    assert!(last.starts_with("500") || last.starts_with("421"));
    assert_eq!(g.get("/_sim/mail").await["mails"], json!([]));
}

#[tokio::test]
async fn a_mail_too_large_is_refused_and_the_session_goes_on() {
    let g = ground().await;
    let mut smtp = Smtp::open(&g).await;
    smtp.expect("EHLO x", "250").await;
    let line = format!("{}\r\n", "y".repeat(998));
    let answer = smtp.send("a@b.example", &line.repeat(11_000)).await;
    assert!(answer.starts_with("552"), "{answer}");
    assert!(smtp.send("a@b.example", "Subject: small\r\n\r\nx").await.starts_with("250"));
    assert_eq!(g.get("/_sim/mail").await["arrived"], 1);
}

#[tokio::test]
async fn faults_after_and_before_the_mail_is_taken() {
    let g = ground().await;
    for (kind, expected, arrived) in
        [("error_before", "451", 0), ("error_after", "451", 1), ("timeout_after", "", 2)]
    {
        let fault =
            json!({ "provider": "mail", "operation": "deliver", "kind": kind, "hang_ms": 0 });
        g.sim("/_sim/faults", fault).await;
        let mut smtp = Smtp::open(&g).await;
        smtp.expect("EHLO x", "250").await;
        let answer = smtp.send("a@b.example", "Subject: x\r\n\r\nx").await;
        assert_eq!(answer.get(..expected.len()), Some(expected), "{kind}: {answer}");
        assert_eq!(g.get("/_sim/mail").await["arrived"], Value::from(arrived), "{kind}");
    }
}

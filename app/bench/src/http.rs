//! A keep-alive HTTP/1.1 client that costs as little as possible: it shares two cores with the
//! server that it measures.

use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::BenchError;

/// An answer may have this many bytes.
const MAX: usize = 16 << 20;

/// One connection; one request at a time.
pub(crate) struct Http {
    addr: SocketAddr,
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Where the body of a complete answer is, and its status.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: Range<usize>,
}

impl Http {
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(addr)
            .await
            .map_err(|e| BenchError::new(format_args!("cannot connect to {addr}: {e}")))?;
        stream.set_nodelay(true).map_err(BenchError::new)?;
        Ok(Self { addr, stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Posts a GraphQL request; gives the body of the answer.
    pub(crate) async fn graphql(&mut self, body: &str) -> Result<&[u8], BenchError> {
        self.request.clear();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json\r\ncontent-length: {}\r\n\r\n",
            self.addr,
            body.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body.as_bytes());
        let (status, body) = self.exchange().await?;
        if status != 200 {
            return Err(unexpected(status, body));
        }
        Ok(body)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<&[u8], BenchError> {
        self.request.clear();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.addr);
        self.request.extend_from_slice(head.as_bytes());
        let (status, body) = self.exchange().await?;
        if status != 200 {
            return Err(unexpected(status, body));
        }
        Ok(body)
    }

    async fn exchange(&mut self) -> Result<(u16, &[u8]), BenchError> {
        self.stream.write_all(&self.request).await.map_err(BenchError::new)?;
        self.answer.clear();
        let head = loop {
            let n = self.stream.read_buf(&mut self.answer).await.map_err(BenchError::new)?;
            if n == 0 {
                return Err(BenchError::new("the server closed the connection"));
            }
            if let Some(head) = head(&self.answer)? {
                break head;
            }
            self.answer.reserve(16 * 1024);
        };
        while self.answer.len() < head.body.end {
            self.answer.reserve(head.body.end - self.answer.len());
            let n = self.stream.read_buf(&mut self.answer).await.map_err(BenchError::new)?;
            if n == 0 {
                return Err(BenchError::new("the server closed the connection in an answer"));
            }
        }
        if self.answer.len() > head.body.end {
            return Err(BenchError::new("the server said more than one answer"));
        }
        Ok((head.status, &self.answer[head.body]))
    }
}

fn unexpected(status: u16, body: &[u8]) -> BenchError {
    let body = String::from_utf8_lossy(&body[..body.len().min(300)]);
    BenchError::new(format_args!("HTTP {status}: {body}"))
}

/// Reads the head as soon as it is complete.
fn head(bytes: &[u8]) -> Result<Option<Head>, BenchError> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        if bytes.len() > 64 * 1024 {
            return Err(BenchError::new("the answer's head does not end"));
        }
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let length = lines
        .filter_map(|l| l.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    match (status, length) {
        (Some(status), Some(length)) if length <= MAX => {
            Ok(Some(Head { status, body: end + 4..end + 4 + length }))
        }
        _ => Err(BenchError::new("an answer without a status and a length of at most 16 MiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        let expected = Head { status: 200, body: 44..49 };
        assert_eq!(head(bytes).ok().flatten(), Some(expected));
        assert!(head(&bytes[..30]).is_ok_and(|h| h.is_none()));
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").is_err());
        assert!(head(b"nonsense\r\n\r\n").is_err());
        assert!(head(&[b'a'; 70_000]).is_err());
    }
}

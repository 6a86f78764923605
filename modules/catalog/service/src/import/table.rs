//! CSV files read record by record within fixed limits, with the physical line of every record.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv_core::ReadRecordResult as Step;

/// Larger files are refused.
pub(crate) const MAX_FILE: u64 = 256 * 1024 * 1024;
/// Bytes of one record; also what an unclosed quote can swallow in memory.
const MAX_RECORD: usize = 1024 * 1024;
/// Bytes of one field.
const MAX_FIELD: usize = 128 * 1024;
/// Columns.
const MAX_FIELDS: usize = 512;

/// A CSV file with a header.
pub(crate) struct Table {
    records: Records<BufReader<std::io::Take<File>>>,
    header: Vec<String>,
}

/// One record: fields in the header's order.
pub(crate) struct Row {
    /// The physical line on which it begins.
    pub(crate) line: u64,
    fields: Vec<String>,
}

/// A record that cannot be read.
pub(crate) struct BadRecord {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

impl Table {
    /// Opens the file and reads its header. `Err` says why the whole file is refused.
    pub(crate) fn open(path: &Path) -> Result<Self, BadRecord> {
        let refuse = |reason: String| BadRecord { line: 1, reason };
        let file = File::open(path).map_err(|e| refuse(format!("the file cannot be read: {e}")))?;
        let size = file.metadata().map_err(|e| refuse(e.to_string()))?.len();
        if size > MAX_FILE {
            return Err(refuse(format!(
                "the file has {size} bytes; the limit is {MAX_FILE}, split it"
            )));
        }
        let mut input = BufReader::with_capacity(64 * 1024, file.take(MAX_FILE));
        if input.fill_buf().is_ok_and(|b| b.starts_with(b"\xef\xbb\xbf")) {
            input.consume(3);
        }
        let mut records = Records::new(input);
        let header = match records.next() {
            Some(Ok(row)) => row.fields,
            Some(Err(bad)) => return Err(bad),
            None => return Err(refuse("the file is empty".to_owned())),
        };
        let header: Vec<String> = header.iter().map(|h| h.trim().to_lowercase()).collect();
        for (i, name) in header.iter().enumerate() {
            if !name.is_empty() && header[..i].contains(name) {
                let name: String = name.chars().take(60).collect();
                return Err(refuse(format!("the header names the column `{name}` twice")));
            }
        }
        Ok(Self { records, header })
    }

    /// Whether the header has this column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.column(column).is_some()
    }

    /// Where this column is.
    pub(crate) fn column(&self, column: &str) -> Option<usize> {
        self.header.iter().position(|h| h == column)
    }

    /// The columns' names.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The next record whose number of fields is right, or why it is not taken.
    pub(crate) fn next(&mut self) -> Option<Result<Row, BadRecord>> {
        let row = match self.records.next()? {
            Ok(row) => row,
            Err(bad) => return Some(Err(bad)),
        };
        if row.fields.len() != self.header.len() {
            return Some(Err(BadRecord {
                line: row.line,
                reason: format!(
                    "the record has {} fields, the header {}",
                    row.fields.len(),
                    self.header.len()
                ),
            }));
        }
        Some(Ok(row))
    }
}

impl Row {
    /// The field of a column that [`Table::column`] found; empty if the file has no such column.
    pub(crate) fn at(&self, column: Option<usize>) -> &str {
        column.and_then(|c| self.fields.get(c)).map_or("", |f| f.trim())
    }
}

struct Records<R> {
    input: R,
    core: csv_core::Reader,
    /// Line feeds consumed so far.
    feeds: u64,
    out: Vec<u8>,
    ends: Vec<usize>,
    ended: bool,
}

impl<R: BufRead> Records<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            core: csv_core::Reader::new(),
            feeds: 0,
            out: vec![0; MAX_RECORD],
            ends: vec![0; MAX_FIELDS],
            ended: false,
        }
    }

    fn next(&mut self) -> Option<Result<Row, BadRecord>> {
        if self.ended {
            return None;
        }
        // Blank lines belong to no record, and a line must be known before its record begins.
        loop {
            match self.input.fill_buf() {
                Ok([]) => break,
                Ok([b'\n', ..]) => {
                    self.feeds += 1;
                    self.input.consume(1);
                }
                Ok([b'\r', ..]) => self.input.consume(1),
                Ok(_) => break,
                Err(e) => return Some(Err(self.broken(&e))),
            }
        }
        let line = self.feeds + 1;
        let (mut out, mut ends) = (0, 0);
        let mut overflow: Option<&'static str> = None;
        loop {
            let input = match self.input.fill_buf() {
                Ok(input) => input,
                Err(e) => return Some(Err(self.broken(&e))),
            };
            let (step, read, wrote, ended) =
                self.core.read_record(input, &mut self.out[out..], &mut self.ends[ends..]);
            self.feeds += input[..read].iter().filter(|b| **b == b'\n').count() as u64;
            self.input.consume(read);
            out += wrote;
            ends += ended;
            match step {
                Step::InputEmpty => {}
                // Too long: go on to its end without keeping it.
                Step::OutputFull => {
                    overflow = overflow
                        .or(Some("the record is longer than 1 MiB; a quote may be unclosed"));
                    (out, ends) = (0, 0);
                }
                Step::OutputEndsFull => {
                    overflow = overflow.or(Some("the record has more than 512 fields"));
                    (out, ends) = (0, 0);
                }
                Step::Record => break,
                Step::End => {
                    self.ended = true;
                    return overflow.map(|r| Err(BadRecord { line, reason: r.to_owned() }));
                }
            }
        }
        if let Some(reason) = overflow {
            return Some(Err(BadRecord { line, reason: reason.to_owned() }));
        }
        Some(self.row(line, out, ends))
    }

    fn row(&self, line: u64, out: usize, ends: usize) -> Result<Row, BadRecord> {
        let bad = |reason: String| BadRecord { line, reason };
        let mut fields = Vec::with_capacity(ends);
        let mut start = 0;
        for &end in &self.ends[..ends] {
            let field = self.out[..out].get(start..end).unwrap_or_default();
            if field.len() > MAX_FIELD {
                return Err(bad(format!("field {} is longer than 128 KiB", fields.len() + 1)));
            }
            let text = std::str::from_utf8(field)
                .map_err(|_| bad(format!("field {} is not UTF-8", fields.len() + 1)))?;
            fields.push(text.to_owned());
            start = end;
        }
        Ok(Row { line, fields })
    }

    fn broken(&mut self, error: &std::io::Error) -> BadRecord {
        self.ended = true;
        BadRecord {
            line: self.feeds + 1,
            reason: format!("the file cannot be read any further: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = Vec<Result<(u64, Vec<String>), (u64, String)>>;

    fn read(bytes: &[u8]) -> Seen {
        let mut records = Records::new(bytes);
        let mut out = Vec::new();
        while let Some(next) = records.next() {
            out.push(match next {
                Ok(row) => Ok((row.line, row.fields)),
                Err(bad) => Err((bad.line, bad.reason)),
            });
        }
        out
    }

    #[test]
    fn lines_are_physical() {
        for feed in ["\n", "\r\n"] {
            let text = ["a,b", "", "\"1", "2\",x", "", "3,4", ""].join(feed);
            let lines: Vec<u64> = read(text.as_bytes()).into_iter().map(|r| r.unwrap().0).collect();
            assert_eq!(lines, [1, 3, 6], "{feed:?}");
        }
    }

    #[test]
    fn limits_skip_one_record_only() {
        let mut text = b"a,b\n\"".to_vec();
        text.extend(vec![b'x'; MAX_RECORD + 5]);
        text.extend(b"\",1\n\xff,2\n");
        text.extend(",".repeat(600).bytes());
        text.extend(b"\nc,d\n");
        let seen = read(&text);
        assert_eq!(seen.len(), 5);
        assert!(seen[1].as_ref().unwrap_err().1.contains("1 MiB"));
        assert!(seen[2].as_ref().unwrap_err().1.contains("UTF-8"));
        assert!(seen[3].as_ref().unwrap_err().1.contains("512 fields"));
        assert_eq!(seen[4].as_ref().unwrap().0, 5);
    }

    #[test]
    fn an_unclosed_quote_ends_with_the_file() {
        let mut text = b"a\n\"".to_vec();
        text.extend(vec![b'y'; 3 * MAX_RECORD]);
        let seen = read(&text);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].as_ref().unwrap_err().0, 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert!(read(&bytes).len() <= bytes.len() + 1);
        }
    }
}

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{Metrics, PersonalData, personal_data_in};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not one.
    #[error(
        "log level `{0}`: write error, warn, info, debug or trace, also per part: info,mela_orders=debug"
    )]
    Level(String),
    /// It was set up already, or the thread could not be started.
    #[error("logging cannot be set up: {0}")]
    Setup(String),
}

/// Lines and bytes that may wait for a slow reader; more are dropped and counted.
const WAITING_LINES: usize = 16_384;
const WAITING_BYTES: usize = 16 << 20;

/// Keeps the writing thread; when dropped, what waits is written first.
pub struct LogGuard {
    thread: Option<JoinHandle<()>>,
    writer: LineWriter,
}

/// Sends log lines to standard error. `level` is like `info` or `info,mela_orders=debug`.
pub fn init(format: LogFormat, level: &str) -> Result<LogGuard, TelemetryError> {
    let filter = EnvFilter::try_new(level)
        .map_err(|_| TelemetryError::Level(level.chars().take(80).collect()))?;
    let guard = LogGuard::start(io::stderr())?;
    let writer = guard.writer.clone();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer.clone());
    let done = match format {
        LogFormat::Pretty => builder
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .with_target(true)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
    done.map_err(|e| TelemetryError::Setup(e.to_string()))?;
    Ok(guard)
}

impl LogGuard {
    fn start(out: impl Write + Send + 'static) -> Result<Self, TelemetryError> {
        let (sender, receiver) = sync_channel(WAITING_LINES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_lines(&receiver, &taken, out))
            .map_err(|e| TelemetryError::Setup(e.to_string()))?;
        let lines = Arc::new(Mutex::new(Some(sender)));
        let writer = LineWriter { lines, waiting, dropped: Arc::default() };
        Ok(Self { thread: Some(thread), writer })
    }

    /// Publishes how many lines were dropped.
    pub fn publish(&self, metrics: &Metrics) {
        let dropped = Arc::clone(&self.writer.dropped);
        metrics.sampled(
            "mela_log_lines_dropped",
            "Log lines lost because nobody read them fast enough.",
            &[],
            #[allow(clippy::cast_precision_loss)]
            move || dropped.load(Relaxed) as f64,
        );
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // The thread ends when the last sender is gone.
        self.writer.lines.lock().take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_lines(lines: &Receiver<Vec<u8>>, waiting: &AtomicUsize, mut out: impl Write) {
    while let Ok(first) = lines.recv() {
        // What waits goes out in one write.
        let mut batch = first;
        while batch.len() < 65_536
            && let Ok(more) = lines.try_recv()
        {
            batch.extend_from_slice(&more);
        }
        let _ = out.write_all(&batch);
        waiting.fetch_sub(batch.len(), Relaxed);
    }
    let _ = out.flush();
}

#[derive(Clone)]
struct LineWriter {
    lines: Arc<Mutex<Option<SyncSender<Vec<u8>>>>>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

/// tracing-subscriber formats a whole event and then writes it in one call.
impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let sent = match self.lines.lock().as_ref() {
            Some(lines) => {
                let room = self.waiting.fetch_add(line.len(), Relaxed) < WAITING_BYTES;
                let sent = room && lines.try_send(line.to_vec()).is_ok();
                if !sent {
                    self.waiting.fetch_sub(line.len(), Relaxed);
                }
                sent
            }
            None => io::stderr().write_all(line).is_ok(),
        };
        if !sent {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// For tests: everything that is logged, by every thread of the process.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

/// A test that logs more than this logs too much.
const MAX_CAPTURED: usize = 64 << 20;

/// For tests: captures all log lines of the process from now on (from `debug` up, those of
/// chatty libraries from `info` up), as JSON. All callers in a process share one capture.
pub fn test_capture() -> Capture {
    static CAPTURE: OnceLock<Capture> = OnceLock::new();
    CAPTURE
        .get_or_init(|| {
            let capture = Capture::default();
            let _ = tracing_subscriber::fmt()
                .json()
                .with_env_filter(EnvFilter::new(CAPTURED))
                .with_writer(capture.clone())
                .try_init();
            capture
        })
        .clone()
}

/// Libraries that print raw bytes at `debug` would only show that they do.
const CAPTURED: &str = "debug,hyper=info,h2=info,reqwest=info,rustls=info,tantivy=info,\
                        tokio_postgres=info,postgres=info";

impl Capture {
    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock()).lines().map(str::to_owned).collect()
    }

    /// The first line that holds personal data, if any.
    pub fn personal_data(&self) -> Option<(PersonalData, String)> {
        self.lines().into_iter().find_map(|l| personal_data_in(&l).map(|kind| (kind, l)))
    }
}

impl Write for Capture {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock();
        if all.len() + line.len() <= MAX_CAPTURED {
            all.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Capture {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_waits_is_written_when_the_guard_goes() {
        let out = Capture::default();
        let guard = LogGuard::start(out.clone()).unwrap();
        let mut writer = guard.writer.clone();
        (0..1_000).for_each(|i| writeln!(writer, "line {i}").unwrap());
        drop(guard);
        assert_eq!(out.lines().len(), 1_000);
        assert_eq!(writer.dropped.load(Relaxed), 0);
    }

    /// Writes nothing until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_but_neither_time_nor_memory() {
        let (let_go, stuck) = channel();
        let guard = LogGuard::start(Stuck(stuck)).unwrap();
        let mut writer = guard.writer.clone();
        let line = vec![b'x'; 1 << 20];
        (0..200).for_each(|_| writer.write_all(&line).unwrap());
        assert!(writer.waiting.load(Relaxed) <= WAITING_BYTES + line.len());
        assert!(writer.dropped.load(Relaxed) > 100);
        drop(let_go);
        drop(guard);
    }

    #[test]
    fn a_wrong_level_is_refused_with_what_would_be_right() {
        let error = init(LogFormat::Json, "info,=x=").err().unwrap().to_string();
        assert!(error.contains("warn, info"), "{error}");
    }
}

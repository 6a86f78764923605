//! Figures about the process itself, read when asked, and the delay of the event loop.

use std::fs;
use std::time::Duration;

use crate::Metrics;

/// Name, type, help, value.
pub(crate) type Figure = (&'static str, &'static str, &'static str, f64);

/// What the kernel says, where there is `/proc`; nothing elsewhere.
pub(crate) fn read() -> Vec<Figure> {
    let mut out = Vec::new();
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return out };
    // Fields after the command's name in brackets: user and system time are the 12th and 13th, in
    // ticks of 10 ms (the kernel's fixed unit for this file), resident pages the 22nd.
    let fields: Vec<f64> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(|f| f.trim().parse().unwrap_or(0.0))
        .collect();
    if let (Some(user), Some(system)) = (fields.get(11), fields.get(12)) {
        let help = "CPU time used.";
        out.push(("process_cpu_seconds_total", "counter", help, (user + system) / 100.0));
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        out.push((
            "process_open_fds",
            "gauge",
            "Open files.",
            u32::try_from(files.count()).map_or(0.0, f64::from),
        ));
    }
    if let Some(kib) = fs::read_to_string("/proc/self/status").ok().and_then(|s| {
        let line = s.lines().find(|l| l.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    }) {
        out.push(("process_resident_memory_bytes", "gauge", "Memory in use.", kib * 1024.0));
    }
    out
}

impl Metrics {
    /// Measures by how much the event loop is late, once in 250 ms, until the task is dropped: spawn
    /// it once per process.
    pub async fn watch_event_loop(self) {
        const STEP: Duration = Duration::from_millis(250);
        let late = self.histogram(
            "mela_event_loop_delay_seconds",
            "By how much a timer of the event loop was late.",
            &[],
        );
        loop {
            let due = tokio::time::Instant::now() + STEP;
            tokio::time::sleep_until(due).await;
            late.observe(due.elapsed());
        }
    }
}

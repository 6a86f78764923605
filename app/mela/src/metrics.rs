//! The database's figures as Prometheus lines.

use std::fmt::Write;

use mela_db::{Db, LATENCY_BOUNDS_US};

/// Lines for `/metrics`: statements, calls, errors and latency per operation.
pub(crate) fn of_db(db: &Db) -> String {
    let stats = db.stats();
    let mut out = String::new();
    counter(&mut out, "mela_db_statements_total", "SQL statements by operation.");
    for (name, op) in &stats.operations {
        let _ = writeln!(out, "mela_db_statements_total{{operation=\"{name}\"}} {}", op.statements);
    }
    counter(&mut out, "mela_db_errors_total", "Failed or refused calls by operation.");
    for (name, op) in &stats.operations {
        let _ = writeln!(out, "mela_db_errors_total{{operation=\"{name}\"}} {}", op.errors);
    }
    counter(&mut out, "mela_db_retries_total", "Re-runs after a collision by operation.");
    for (name, op) in &stats.operations {
        let _ = writeln!(out, "mela_db_retries_total{{operation=\"{name}\"}} {}", op.retries);
    }
    let _ = writeln!(out, "# HELP mela_db_seconds Latency of calls, waiting included.");
    let _ = writeln!(out, "# TYPE mela_db_seconds histogram");
    for (name, op) in &stats.operations {
        let mut sum = 0;
        for (count, bound) in op.latency.iter().zip(LATENCY_BOUNDS_US) {
            sum += count;
            let seconds = Seconds(bound);
            let _ = writeln!(
                out,
                "mela_db_seconds_bucket{{operation=\"{name}\",le=\"{seconds}\"}} {sum}"
            );
        }
        let _ = writeln!(
            out,
            "mela_db_seconds_bucket{{operation=\"{name}\",le=\"+Inf\"}} {}",
            op.calls
        );
        let _ =
            writeln!(out, "mela_db_seconds_sum{{operation=\"{name}\"}} {}", Seconds(op.total_us));
        let _ = writeln!(out, "mela_db_seconds_count{{operation=\"{name}\"}} {}", op.calls);
    }
    let _ = writeln!(out, "# HELP mela_db_queued Calls waiting for a thread.");
    let _ = writeln!(out, "# TYPE mela_db_queued gauge");
    let _ = writeln!(out, "mela_db_queued {}", stats.queued);
    out
}

fn counter(out: &mut String, name: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}");
    let _ = writeln!(out, "# TYPE {name} counter");
}

/// µs shown as seconds, exactly.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

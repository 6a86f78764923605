//! What was measured, for people and for tools.

use std::io::Write;

use serde::Serialize;

use crate::BenchError;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Which benchmark.
    pub bench: &'static str,
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    /// What was measured; the unit is in its name.
    pub metric: &'static str,
    /// How much.
    pub value: f64,
}

/// Where figures go as soon as they are known.
pub(crate) struct Report {
    json: bool,
    bench: &'static str,
    engine: &'static str,
    begun: bool,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(json: bool, bench: &'static str, engine: &'static str) -> Self {
        Self { json, bench, engine, begun: false, figures: Vec::new() }
    }

    /// Says what is going on, to people only.
    pub(crate) fn say(&self, text: std::fmt::Arguments<'_>) {
        eprintln!("{} on {}: {text}", self.bench, self.engine);
    }

    pub(crate) fn figure(&mut self, metric: &'static str, value: f64) -> Result<(), BenchError> {
        // Three digits behind the point are more than any of these figures is worth.
        let value = (value * 1_000.0).round() / 1_000.0;
        let figure = Figure { bench: self.bench, engine: self.engine, metric, value };
        let mut out = std::io::stdout().lock();
        if self.json {
            let line = serde_json::to_string(&figure).map_err(BenchError::new)?;
            writeln!(out, "{line}").map_err(BenchError::new)?;
        } else {
            if !self.begun {
                writeln!(out, "\n{} on {}", self.bench, self.engine).map_err(BenchError::new)?;
            }
            let digits = if value.abs() >= 100.0 { 0 } else { 2 };
            writeln!(out, "  {metric:<26}{value:>14.digits$}").map_err(BenchError::new)?;
        }
        self.begun = true;
        self.figures.push(figure);
        Ok(())
    }

    pub(crate) fn end(self) -> Vec<Figure> {
        self.figures
    }
}

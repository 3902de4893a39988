//! The result: a row a figure, with its target where it has one.

use std::fmt;

#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    measured: String,
    target: String,
    verdict: &'static str,
}

impl Table {
    pub fn note(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.row(what.into(), measured.into(), String::new(), "");
    }

    /// A figure that should not be above `target`.
    pub fn at_most(&mut self, what: impl Into<String>, value: f64, target: f64, unit: &str) {
        self.judged(what.into(), value, "≤", target, unit, value <= target);
    }

    /// A figure that should not be below `target`.
    pub fn at_least(&mut self, what: impl Into<String>, value: f64, target: f64, unit: &str) {
        self.judged(what.into(), value, "≥", target, unit, value >= target);
    }

    fn judged(&mut self, what: String, value: f64, sign: &str, target: f64, unit: &str, met: bool) {
        self.row(
            what,
            format!("{value:.2} {unit}"),
            format!("{sign} {target} {unit}"),
            if met { "met" } else { "missed" },
        );
    }

    fn row(&mut self, what: String, measured: String, target: String, verdict: &'static str) {
        println!("{what}: {measured} {target} {verdict}");
        self.0.push(Row {
            what,
            measured,
            target,
            verdict,
        });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | target | |")?;
        writeln!(f, "|---|---|---|---|")?;
        for Row {
            what,
            measured,
            target,
            verdict,
        } in &self.0
        {
            writeln!(f, "| {what} | {measured} | {target} | {verdict} |")?;
        }
        Ok(())
    }
}

//! What was checked: a line each, and under one that is not as it must be what a person does about it.

use std::fmt;

use serde::Serialize;

use crate::contracts::report::{Report, Verdict};
use crate::error::{Failure, chain};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    verdict: Verdict,
    /// `salesforce`, `kafka`, `schema registry`, `configuration`, `route <name>`, `route <name> → <topic>`.
    about: String,
    /// Names the object and the rule.
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    pub(super) fn holds(&mut self, about: &str, message: impl Into<String>) {
        self.add(Verdict::Holds, about, message.into(), None);
    }

    pub(super) fn warning(&mut self, about: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Verdict::Warning, about, message.into(), Some(remedy.into()));
    }

    pub(super) fn broken(&mut self, about: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Verdict::Broken, about, message.into(), Some(remedy.into()));
    }

    /// A failure, with this remedy where it has none.
    pub(super) fn failed(&mut self, about: &str, failure: &Failure, remedy: &str) {
        let remedy = failure.remedy.as_deref().unwrap_or(remedy);
        self.broken(about, chain(failure), remedy);
    }

    /// What the contracts' check found about one route.
    pub(super) fn take(&mut self, route: &str, report: &Report) {
        for finding in report.findings.iter().filter(|finding| finding.route == route) {
            let about = match &finding.topic {
                None => format!("route {route}"),
                Some(topic) => format!("route {route} → {topic}"),
            };
            self.add(
                finding.verdict,
                &about,
                finding.message.clone(),
                finding.remedy.clone(),
            );
        }
    }

    fn add(&mut self, verdict: Verdict, about: &str, message: String, remedy: Option<String>) {
        let line = Line {
            verdict,
            about: about.to_owned(),
            message,
            remedy,
        };
        // Routes share topics.
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|line| line.verdict == verdict).count()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.count(Verdict::Broken) > 0
    }

    /// `{"lines": […], "holds": 3, "warnings": 0, "broken": 1}`
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "lines": self.0,
            "holds": self.count(Verdict::Holds),
            "warnings": self.count(Verdict::Warning),
            "broken": self.count(Verdict::Broken),
        })
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Option<&str> = None;
        for line in &self.0 {
            let mark = match line.verdict {
                Verdict::Holds => '✓',
                Verdict::Warning => '!',
                Verdict::Broken => '✗',
            };
            // One line each, whatever a remote side wrote into its reason.
            writeln!(f, "{mark} {}: {}", line.about, line.message.replace('\n', " "))?;
            // What is down is down for many lines: the remedy stands under the first of them.
            if line.remedy.is_some() && line.remedy.as_deref() != told {
                let remedy = line.remedy.as_deref().unwrap_or_default();
                writeln!(f, "    {}", remedy.replace('\n', " "))?;
            }
            told = line.remedy.as_deref();
        }
        let [holds, warnings, broken] =
            [Verdict::Holds, Verdict::Warning, Verdict::Broken].map(|verdict| self.count(verdict));
        writeln!(f, "holds: {holds}, warnings: {warnings}, broken: {broken}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_stands_under_its_line_and_what_routes_share_is_said_once() {
        let mut lines = Lines::default();
        lines.holds("kafka", "reached at k:9092");
        lines.holds("kafka", "reached at k:9092");
        lines.broken("route a", "topic t\nis missing", "create it");
        assert_eq!(
            lines.to_string(),
            "✓ kafka: reached at k:9092\n✗ route a: topic t is missing\n    create it\nholds: 1, warnings: 0, broken: 1\n"
        );
        assert!(lines.is_broken());
        assert_eq!(lines.json()["lines"][1]["verdict"], "broken");
    }

    #[test]
    fn a_remedy_of_several_lines_stands_under_the_first() {
        let mut lines = Lines::default();
        lines.broken("kafka", "a", "start it");
        lines.broken("kafka", "b", "start it");
        lines.holds("route c", "d");
        lines.broken("route c", "e", "start it");
        assert_eq!(
            lines.to_string(),
            "✗ kafka: a\n    start it\n✗ kafka: b\n✓ route c: d\n✗ route c: e\n    start it\nholds: 1, warnings: 0, broken: 3\n"
        );
    }

    #[test]
    fn findings_of_contracts_come_with_their_route_and_topic() {
        let mut report = Report::default();
        report.section("a", None).holds("can be read");
        report.section("a", Some("t")).broken("gone", "add it");
        report.section("b", None).holds("of another route");
        let mut lines = Lines::default();
        lines.take("a", &report);
        assert_eq!(
            lines.to_string(),
            "✓ route a: can be read\n✗ route a → t: gone\n    add it\nholds: 1, warnings: 0, broken: 1\n"
        );
    }
}

//! What a check found: one line each, with the remedy, and the sum. As text for people, as JSON for pipelines.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Holds,
    /// It works, and some values will not: a person should know before they come.
    Warning,
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    pub route: String,
    /// The output; None where the finding is about the route's source.
    pub topic: Option<String>,
    /// Names the object and the rule.
    pub message: String,
    pub remedy: Option<String>,
}

/// All findings, in the order of the routes.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
}

/// Where findings belong to, so that a check says it once.
#[derive(Debug)]
pub struct Section<'a> {
    report: &'a mut Report,
    route: &'a str,
    topic: Option<&'a str>,
}

impl Report {
    pub fn section<'a>(&'a mut self, route: &'a str, topic: Option<&'a str>) -> Section<'a> {
        Section {
            report: self,
            route,
            topic,
        }
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        let of = |finding: &&Finding| finding.verdict == verdict;
        self.findings.iter().filter(of).count()
    }

    pub fn is_broken(&self) -> bool {
        self.count(Verdict::Broken) > 0
    }

    fn summary(&self) -> String {
        let [holds, warnings, broken] =
            [Verdict::Holds, Verdict::Warning, Verdict::Broken].map(|verdict| self.count(verdict));
        format!("holds: {holds}, warnings: {warnings}, broken: {broken}")
    }

    /// `{"findings": […], "holds": 3, "warnings": 0, "broken": 1}`
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "findings": self.findings,
            "holds": self.count(Verdict::Holds),
            "warnings": self.count(Verdict::Warning),
            "broken": self.count(Verdict::Broken),
        })
    }
}

impl Section<'_> {
    pub fn holds(&mut self, message: impl Into<String>) {
        self.add(Verdict::Holds, message.into(), None);
    }

    pub fn warning(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Verdict::Warning, message.into(), Some(remedy.into()));
    }

    pub fn broken(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Verdict::Broken, message.into(), Some(remedy.into()));
    }

    pub fn add(&mut self, verdict: Verdict, message: String, remedy: Option<String>) {
        let finding = Finding {
            verdict,
            route: self.route.to_owned(),
            topic: self.topic.map(str::to_owned),
            message,
            remedy,
        };
        // Two events may lead to the same finding about one output.
        if !self.report.findings.contains(&finding) {
            self.report.findings.push(finding);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        writeln!(f, "{}", self.summary())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Holds => '✓',
            Verdict::Warning => '!',
            Verdict::Broken => '✗',
        };
        write!(f, "{mark} {}", self.route)?;
        if let Some(topic) = &self.topic {
            write!(f, " → {topic}")?;
        }
        // One line each, whatever a remote side wrote into its reason.
        write!(f, ": {}", self.message.replace('\n', " "))?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_a_finding_and_a_sum() {
        let mut report = Report::default();
        report
            .section("accounts", None)
            .holds("/data/AccountChangeEvent can be read");
        let mut output = report.section("accounts", Some("crm.accounts"));
        output.broken("field Fax:\nis gone", "give it a default");
        output.broken("field Fax:\nis gone", "give it a default");
        output.warning("field Name: may be a record", "know it");
        assert_eq!(
            report.to_string(),
            "✓ accounts: /data/AccountChangeEvent can be read\n\
             ✗ accounts → crm.accounts: field Fax: is gone; give it a default\n\
             ! accounts → crm.accounts: field Name: may be a record; know it\n\
             holds: 1, warnings: 1, broken: 1\n"
        );
        assert!(report.is_broken());
        let json = report.json();
        assert_eq!(json["broken"], 1);
        assert_eq!(json["findings"][1]["verdict"], "broken");
        assert_eq!(json["findings"][1]["remedy"], "give it a default");
    }
}

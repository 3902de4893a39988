//! Whether the registry would take a contract: by what it has, by its level, and by its own word. Pure.

use super::compatibility;
use super::registry::{Compatibility, Level};
use super::report::Section;
use super::written::Contract;
use crate::avro::Schema;
use crate::config::OnBreak;

/// A registered version.
#[derive(Debug)]
pub struct Version {
    pub number: u32,
    pub schema: Schema,
}

/// What the registry has under a subject.
#[derive(Debug)]
pub struct Known {
    pub level: Level,
    /// Version and id of the very same schema.
    pub same: Option<(Option<u32>, u32)>,
    /// Oldest first.
    pub earlier: Vec<Version>,
    /// The registry's own answer; None where it was not asked.
    pub verdict: Option<Compatibility>,
}

/// Checks what would be registered now.
pub fn check(
    subject: &str,
    contract: &Contract,
    known: &Known,
    on_break: OnBreak,
    section: &mut Section<'_>,
) {
    let level = known.level;
    if let Some((version, id)) = known.same {
        let version = version.map_or_else(String::new, |version| format!(" version {version},"));
        section.holds(format!("subject {subject}: registered,{version} id {id}"));
        return;
    }
    let labels: Vec<String> = known
        .earlier
        .iter()
        .map(|version| format!("v{}", version.number))
        .collect();
    let earlier: Vec<(&str, &Schema)> = labels
        .iter()
        .zip(&known.earlier)
        .map(|(label, version)| (label.as_str(), &version.schema))
        .collect();
    let ours: Vec<String> = compatibility::check(level, &contract.schema, &earlier)
        .iter()
        .map(ToString::to_string)
        .collect();
    let theirs = known.verdict.as_ref();
    let is_taken = theirs.map_or(ours.is_empty(), |verdict| verdict.is_compatible);
    match (is_taken, known.earlier.last()) {
        (true, None) => section.holds(format!(
            "subject {subject}: will be registered as its first version (compatibility {level})"
        )),
        // Its word counts; what we see in it is worth a look.
        (true, Some(latest)) if ours.is_empty() => section.holds(format!(
            "subject {subject}: will be registered after version {} (compatibility {level})",
            latest.number
        )),
        (true, Some(_)) => section.warning(
            format!(
                "subject {subject}: the registry takes the schema at {level}, though {}",
                ours.join("; ")
            ),
            "ask the readers of the topic before it is registered",
        ),
        (false, _) => {
            let rules = if ours.is_empty() {
                theirs.map(|verdict| verdict.messages.clone()).unwrap_or_default()
            } else {
                ours
            };
            let rules = if rules.is_empty() {
                "the registry gives no reason".to_owned()
            } else {
                rules.join("; ")
            };
            let message = format!("subject {subject}: compatibility {level} refuses the schema: {rules}");
            if on_break == OnBreak::NewSubject {
                section.warning(
                    message,
                    "`on_break: new_subject` will register it under a new subject: tell the readers",
                );
            } else {
                section.broken(
                    message,
                    "change the contract as the level allows, or agree with the readers on another level or subject",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pinned::Pinned;
    use super::super::report::{Report, Verdict};
    use super::*;

    const ONE: &str = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"string"}]}"#;
    const TWO: &str =
        r#"{"type":"record","name":"A","fields":[{"name":"a","type":"string"},{"name":"b","type":"int"}]}"#;

    fn finding(known: &Known, on_break: OnBreak) -> (Verdict, String) {
        let contract = Contract::pinned(&Pinned::parse("a.v2.avsc".to_owned(), TWO).unwrap());
        let mut report = Report::default();
        check(
            "a-value",
            &contract,
            known,
            on_break,
            &mut report.section("r", None),
        );
        let finding = report.findings.remove(0);
        assert!(report.findings.is_empty());
        (finding.verdict, finding.message)
    }

    fn known(earlier: &[&str], verdict: Option<bool>) -> Known {
        let version = |(index, schema): (usize, &&str)| Version {
            number: u32::try_from(index + 1).unwrap(),
            schema: Schema::parse(schema).unwrap(),
        };
        Known {
            level: Level::Backward,
            same: None,
            earlier: earlier.iter().enumerate().map(version).collect(),
            verdict: verdict.map(|is_compatible| Compatibility {
                is_compatible,
                messages: vec!["theirs".to_owned()],
            }),
        }
    }

    #[test]
    fn a_refusal_is_told_by_field_and_rule() {
        let (verdict, message) = finding(&known(&[ONE], Some(false)), OnBreak::Halt);
        assert_eq!(verdict, Verdict::Broken);
        assert!(
            message.contains("BACKWARD refuses the schema: field b: "),
            "{message}"
        );
        let (verdict, _) = finding(&known(&[ONE], Some(false)), OnBreak::NewSubject);
        assert_eq!(verdict, Verdict::Warning);
    }

    #[test]
    fn the_registrys_own_reason_stands_where_we_see_none() {
        let (verdict, message) = finding(&known(&[TWO], Some(false)), OnBreak::Halt);
        assert_eq!(verdict, Verdict::Broken);
        assert!(message.ends_with("refuses the schema: theirs"), "{message}");
    }

    #[test]
    fn what_is_registered_or_would_be_taken_holds() {
        let same = Known {
            same: Some((Some(3), 17)),
            ..known(&[ONE], None)
        };
        assert_eq!(
            finding(&same, OnBreak::Halt),
            (
                Verdict::Holds,
                "subject a-value: registered, version 3, id 17".to_owned()
            )
        );
        let (verdict, message) = finding(&known(&[], Some(true)), OnBreak::Halt);
        assert_eq!(verdict, Verdict::Holds);
        assert!(message.contains("first version"), "{message}");
        let (verdict, _) = finding(&known(&[ONE], Some(true)), OnBreak::Halt);
        assert_eq!(verdict, Verdict::Warning, "our rule says otherwise");
    }
}

//! Whether an output can have an event: its fields, its key and its contract against the schema that the org shows
//! now. Pure; the registry's part is in [`super::check_registry`].

use std::sync::Arc;

use super::pinned::Pinned;
use super::projection::{Projection, ProjectionError, Refused};
use super::report::Section;
use super::written::{Contract, Event, HEADER_FIELD};
use crate::avro::Schema;
use crate::config::{FieldSelection, KafkaOutput, KeyConfig};

/// What an output is checked with.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    pub config: &'a KafkaOutput,
    /// The contract file, where there is one and it could be read.
    pub pinned: Option<&'a Pinned>,
    /// Events of several objects: a field that one of them lacks is no mistake.
    pub is_channel: bool,
}

/// Checks one event; answers the contract that its records have.
pub fn check(output: Output<'_>, event: &Event, section: &mut Section<'_>) -> Option<Contract> {
    if let KeyConfig::Field(path) = &output.config.key {
        key(path, event, section);
    }
    let followed = match Contract::followed(event, output.config.fields.as_ref()) {
        Ok((contract, unknown)) => {
            if let Some(selection) = &output.config.fields {
                fields(selection, &unknown, output.is_channel, event, section);
            }
            contract
        }
        Err(error) => {
            section.broken(
                format!("{}: {}", event.name, crate::error::chain(&error)),
                "correct the output's `fields`",
            );
            return None;
        }
    };
    let Some(pinned) = output.pinned else {
        return Some(followed);
    };
    let contract = Contract::pinned(pinned);
    // A contract stands on the selected fields.
    let source = if output.config.fields.is_some() {
        Arc::clone(&followed.schema)
    } else {
        Arc::clone(&event.schema)
    };
    project(&source, &contract, event, section);
    Some(contract)
}

fn key(path: &str, event: &Event, section: &mut Section<'_>) {
    if has_field(&event.schema, path) {
        section.holds(format!("key field {path} is a field of {}", event.name));
    } else {
        section.broken(
            format!("key field {path}: {} has no such field", event.name),
            "correct `key`",
        );
    }
}

/// `Name`, `BillingAddress.City`.
fn has_field(schema: &Schema, path: &str) -> bool {
    let (name, child) = path
        .split_once('.')
        .map_or((path, None), |(name, child)| (name, Some(child)));
    let record = schema.record();
    let field = record.and_then(|record| record.fields.iter().find(|field| field.name == name));
    match (field, child) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(field), Some(child)) => schema.branches(field.type_id).into_iter().any(|branch| {
            let record = schema.as_record(branch);
            record.is_some_and(|record| record.fields.iter().any(|field| field.name == child))
        }),
    }
}

fn fields(
    selection: &FieldSelection,
    unknown: &[String],
    is_channel: bool,
    event: &Event,
    section: &mut Section<'_>,
) {
    let key = match selection {
        FieldSelection::Include(_) => "fields.include",
        FieldSelection::Exclude(_) => "fields.exclude",
    };
    if unknown.is_empty() {
        section.holds(format!("every name in {key} is a field of {}", event.name));
    }
    for name in unknown {
        let message = format!("{key} names {name}: {} has no such field", event.name);
        if is_channel {
            section.warning(
                message,
                "correct the name, unless another event of the channel has it",
            );
        } else {
            section.broken(
                message,
                format!("correct `{key}`, or bring the field back in Salesforce"),
            );
        }
    }
}

fn project(source: &Arc<Schema>, contract: &Contract, event: &Event, section: &mut Section<'_>) {
    let label = contract.label.as_deref().unwrap_or_default();
    let projection = match Projection::new(Arc::clone(source), Arc::clone(&contract.schema)) {
        Ok(projection) => projection,
        Err(ProjectionError::Broken(breaks)) => {
            for broken in breaks {
                section.broken(
                    format!("contract {label}: field {}: {}", broken.field, broken.rule),
                    "give the field a default in a new version of the contract, or bring it back in Salesforce",
                );
            }
            return;
        }
        Err(error) => {
            section.broken(
                format!("contract {label}: {error}"),
                "correct the file: it must be the schema of a record",
            );
            return;
        }
    };
    let refusals = projection.refusals();
    let mut has_gap = false;
    for refused in &refusals {
        has_gap |= refusal(refused, label, event, section);
    }
    if event.is_change_event() && !projection.sources().any(|source| source == Some(0)) {
        section.warning(
            format!("contract {label}: it has no {HEADER_FIELD}: a DELETE or a GAP event is a record of nulls that says no more"),
            format!("add {HEADER_FIELD} to the contract, with changeType and recordIds at least"),
        );
    }
    if !has_gap {
        section.holds(format!(
            "contract {label}: {} (schema {}) satisfies it",
            event.name, event.schema_id
        ));
    }
}

/// Whether it breaks the contract, rather than some event.
fn refusal(refused: &Refused, label: &str, event: &Event, section: &mut Section<'_>) -> bool {
    let Refused { field, rule, .. } = refused;
    let is_header = field.split('.').next() == Some(HEADER_FIELD);
    if refused.is_null && event.is_change_event() && !is_header && !field.contains('.') {
        section.broken(
            format!(
                "contract {label}: field {field} must be nullable: an UPDATE of {} carries only what changed",
                event.entity()
            ),
            format!(
                "write `\"type\": [\"null\", …], \"default\": null` for {field} in a new version of the contract"
            ),
        );
        return true;
    }
    section.warning(
        format!("contract {label}: field {field}: {rule}"),
        "an event with such a value becomes a dead letter of this output; add the branch to the contract if such events come",
    );
    false
}

#[cfg(test)]
mod tests {
    use super::super::report::{Report, Verdict};
    use super::*;
    use crate::config::{FilterUnknown, Format};

    const ACCOUNT: &str = include_str!("../../tests/fixtures/salesforce/AccountChangeEvent.avsc");
    const HEADER: &str = r#"{"name":"ChangeEventHeader","type":{"type":"record","name":"ChangeEventHeader","fields":[{"name":"entityName","type":"string"}]}}"#;

    fn config() -> KafkaOutput {
        KafkaOutput {
            topic: "t".to_owned(),
            key: KeyConfig::RecordId,
            format: Format::Avro,
            tombstones: false,
            filter: None,
            filter_unknown: FilterUnknown::Keep,
            fields: None,
            contract: None,
        }
    }

    fn lines(config: &KafkaOutput, fields: Option<&str>) -> Vec<String> {
        let event = Event::new("schema-1", ACCOUNT).unwrap();
        let pinned = fields.map(|fields| {
            let json = format!(r#"{{"type":"record","name":"Account","fields":[{HEADER},{fields}]}}"#);
            Pinned::parse("account.v1.avsc".to_owned(), &json).unwrap()
        });
        let output = Output {
            config,
            pinned: pinned.as_ref(),
            is_channel: false,
        };
        let mut report = Report::default();
        check(output, &event, &mut report.section("r", None));
        report
            .findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Holds)
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_contract_of_nullable_fields_holds() {
        let fields = r#"{"name":"Phone","type":["null","string"],"default":null}"#;
        assert_eq!(lines(&config(), Some(fields)), Vec::<String>::new());
    }

    #[test]
    fn every_broken_field_is_named_with_its_rule() {
        let fields = r#"{"name":"Gone__c","type":["null","string"]},{"name":"Phone","type":["null","int"]}"#;
        let found = lines(&config(), Some(fields));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("✗ r: contract account.v1.avsc: field Gone__c: AccountChangeEvent has no such field, and the contract gives no default; "));
        assert!(
            found[1].contains("field Phone: is string and does not promote"),
            "{found:?}"
        );
    }

    #[test]
    fn a_field_that_an_update_leaves_out_must_be_nullable() {
        let found = lines(&config(), Some(r#"{"name":"Phone","type":"string"}"#));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("✗ ") && found[0].contains("field Phone must be nullable"),
            "{found:?}"
        );
        assert!(found[0].contains("\"default\": null"), "{found:?}");
    }

    #[test]
    fn a_persons_name_where_text_is_wanted_is_a_warning() {
        let found = lines(
            &config(),
            Some(r#"{"name":"Name","type":["null","string"],"default":null}"#),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("! ") && found[0].contains("Switchable_PersonName"),
            "{found:?}"
        );
    }

    #[test]
    fn unknown_fields_and_keys_are_broken() {
        let config = KafkaOutput {
            fields: Some(FieldSelection::Include(vec!["Phone".into(), "Phonne".into()])),
            key: KeyConfig::Field("BillingAddress.Town".to_owned()),
            ..config()
        };
        let found = lines(&config, None);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("key field BillingAddress.Town: AccountChangeEvent has no such field"));
        assert!(found[1].contains("fields.include names Phonne: AccountChangeEvent has no such field"));
    }

    #[test]
    fn a_contract_stands_on_the_selected_fields() {
        let config = KafkaOutput {
            fields: Some(FieldSelection::Include(vec!["Fax".into()])),
            ..config()
        };
        let found = lines(&config, Some(r#"{"name":"Phone","type":["null","string"]}"#));
        assert!(
            found.len() == 1 && found[0].contains("field Phone: AccountChangeEvent has no such field"),
            "{found:?}"
        );
    }
}

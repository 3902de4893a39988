//! How an output's values are encoded, decided once for each of the events' schemas.

use std::sync::Arc;

use bytes::Bytes;

use super::values::EventValues;
use crate::avro::{LongForm, Wire, write_value_as_json};
use crate::contracts::projection::{FieldValue, Projection, Unsatisfied};
use crate::salesforce::event::{DecodeError, DocType, EventSchema};

/// The five bytes before a datum that tell its reader the schema: a zero, and the registry's id.
#[derive(Debug, Clone, Copy)]
pub struct KafkaFraming(pub u32);

impl KafkaFraming {
    pub const BYTES: usize = 5;

    pub fn write(self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// What the values of an output are.
#[derive(Debug, Clone)]
pub(super) enum Encoding {
    /// The whole event as JSON.
    Json,
    /// The whole event as Salesforce's Avro, under the registry's id for it.
    Avro { schema_id: u32 },
    /// The event's fields on another schema.
    Projected(Arc<Projected>),
}

/// The way onto another schema, and the form there.
#[derive(Debug)]
pub(super) struct Projected {
    /// One step, or two where a contract stands on selected fields.
    pub(super) first: Projection,
    pub(super) second: Option<Projection>,
    pub(super) form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    Avro {
        schema_id: u32,
    },
    /// How the longs of the schema's fields are written.
    Json(Vec<LongForm>),
}

/// Why an output has no value for an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    /// The event itself is broken: no output can have it.
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Output(#[from] Unsatisfied),
}

/// What Salesforce's `doc` says of a long.
pub(super) const fn long_form(doc: DocType) -> LongForm {
    match doc {
        DocType::DateTime => LongForm::DateTime,
        DocType::DateOnly => LongForm::DateOnly,
        DocType::Other => LongForm::Number,
    }
}

impl Encoding {
    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Avro { .. } => "application/avro",
            Self::Projected(projected) => match projected.form {
                Form::Avro { .. } => "application/avro",
                Form::Json(_) => "application/json",
            },
        }
    }

    /// The event's values, one for each of its records.
    pub(super) fn values(&self, event: &EventValues<'_>) -> Result<Vec<Bytes>, ValueError> {
        match self {
            Self::Json => Ok(event.json()?.to_vec()),
            Self::Avro { schema_id } => Ok(event.avro(*schema_id)?),
            Self::Projected(projected) => (0..event.records())
                .map(|record| projected.value(event, record))
                .collect(),
        }
    }
}

impl Projected {
    /// How the fields of the last step's schema are written as JSON: as the event's fields that they come from.
    pub(super) fn json_form(schema: &EventSchema, first: &Projection, second: Option<&Projection>) -> Form {
        let doc = |source: usize| {
            schema
                .fields()
                .get(source)
                .map_or(LongForm::Number, |field| long_form(field.doc_type()))
        };
        let of_first: Vec<_> = first
            .sources()
            .map(|source| source.map_or(LongForm::Number, doc))
            .collect();
        let Some(second) = second else {
            return Form::Json(of_first);
        };
        let of_second = second.sources().map(|source| {
            source
                .and_then(|source| of_first.get(source).copied())
                .unwrap_or_default()
        });
        Form::Json(of_second.collect())
    }

    fn value(&self, event: &EventValues<'_>, record: usize) -> Result<Bytes, ValueError> {
        let view = event.view()?;
        let has_header = event.schema.is_change_event();
        let field = |index: usize| match index {
            0 if has_header => FieldValue::Bytes(event.header(record)),
            // A diff is no value of the field.
            index if view.is_diff(index) => FieldValue::Absent,
            index => FieldValue::Bytes(view.value(index)),
        };
        let mut value = Vec::new();
        if let (Form::Avro { schema_id }, None) = (&self.form, &self.second) {
            KafkaFraming(*schema_id).write(&mut value);
        }
        self.first.project(field, &mut value)?;
        if let Some(second) = &self.second {
            let datum = std::mem::take(&mut value);
            if let Form::Avro { schema_id } = &self.form {
                KafkaFraming(*schema_id).write(&mut value);
            }
            second.project_datum(&datum, &mut value)?;
        }
        match &self.form {
            Form::Avro { .. } => Ok(Bytes::from(value)),
            Form::Json(forms) => self.json(&value, forms),
        }
    }

    fn json(&self, datum: &[u8], forms: &[LongForm]) -> Result<Bytes, ValueError> {
        let reader = self.second.as_ref().unwrap_or(&self.first).reader();
        let mut wire = Wire::new(datum);
        let mut json = vec![b'{'];
        let fields = reader.record().map_or(&[][..], |record| &record.fields);
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            // A name of letters, digits and `_` needs no escapes.
            json.push(b'"');
            json.extend_from_slice(field.name.as_bytes());
            json.extend_from_slice(b"\":");
            let form = forms.get(index).copied().unwrap_or_default();
            write_value_as_json(reader, field.type_id, form, &mut wire, &mut json).map_err(|error| {
                Unsatisfied {
                    field: field.name.clone(),
                    rule: error.to_string(),
                }
            })?;
        }
        json.push(b'}');
        Ok(Bytes::from(json))
    }
}

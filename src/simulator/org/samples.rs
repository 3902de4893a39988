//! One real event, as Salesforce sent it, and the schema that it was written with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::schemas::{ACCOUNT, EventSchema};

/// An Account update of 2023, the bare datum.
const UPDATE: &str = include_str!("../../../tests/fixtures/salesforce/AccountChangeEvent.update.base64");
/// Fields that the sample schema has and the event's own had not yet.
const FIELDS_ADDED_SINCE: usize = 2;

/// The event's payload.
pub(crate) fn real_update() -> Result<Vec<u8>, String> {
    STANDARD
        .decode(UPDATE.trim())
        .map_err(|error| format!("the sample event: {error}"))
}

/// The Account schema before its last two fields were added.
pub(crate) fn older_account() -> Result<EventSchema, String> {
    let mut schema: serde_json::Value = serde_json::from_str(ACCOUNT).map_err(|error| error.to_string())?;
    let fields = schema["fields"].as_array_mut().ok_or("a record has fields")?;
    fields.truncate(fields.len().saturating_sub(FIELDS_ADDED_SINCE));
    EventSchema::parse(&schema.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn the_real_event_decodes_with_its_own_schema_alone() {
        let payload = real_update().expect("the sample is base64");
        let value = encode::read(&older_account().expect("it parses"), &payload).expect("it decodes");
        assert!(format!("{value:?}").contains("Burlington Textiles Corp of Americsg"));
        let newer = EventSchema::parse(ACCOUNT).expect("it parses");
        assert!(encode::read(&newer, &payload).is_err(), "the data ends early");
    }
}

//! A pinned contract: the team's own Avro schema, kept in version control and read from a file.

use std::path::Path;
use std::sync::Arc;

use crate::avro::{Schema, SchemaError};
use crate::error::{ErrorKind, Failure};

/// A contract file, read.
#[derive(Debug, Clone)]
pub struct Pinned {
    pub schema: Arc<Schema>,
    /// As it stands in the file.
    pub json: Arc<str>,
    /// The file's name, for messages.
    pub label: String,
}

impl Pinned {
    /// # Errors
    /// `Contract`: the file cannot be read, or is not the Avro schema of a record.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |rule: &str| {
            Failure::new(
                ErrorKind::Contract,
                format!("contract {}: {rule}", path.display()),
            )
            .remedy("correct `contract.file` or what is in it, then restart the route")
        };
        let json = std::fs::read_to_string(path)
            .map_err(|error| refused("the file cannot be read").caused_by(error))?;
        let label = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self::parse(label, &json)
            .map_err(|error| refused("it is not an Avro schema").caused_by(error))
            .and_then(|pinned| match pinned.schema.record() {
                Some(_) => Ok(pinned),
                None => Err(refused("it is not the schema of a record")),
            })
    }

    /// # Errors
    /// When the text is not an Avro schema.
    pub fn parse(label: String, json: &str) -> Result<Self, SchemaError> {
        Ok(Self {
            schema: Arc::new(Schema::parse(json)?),
            json: json.into(),
            label,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_contract_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.v1.avsc");
        let refused = || crate::error::chain(&Pinned::read(&path).unwrap_err());
        assert!(refused().contains("account.v1.avsc: the file cannot be read"));
        std::fs::write(
            &path,
            r#"{"type":"record","name":"A","fields":[{"name":"x","type":"Nowhere"}]}"#,
        )
        .unwrap();
        assert!(
            refused()
                .ends_with("it is not an Avro schema: x: the type Nowhere is not defined before its use")
        );
        std::fs::write(&path, r#""string""#).unwrap();
        assert!(refused().ends_with("it is not the schema of a record"));
        std::fs::write(&path, r#"{"type":"record","name":"A","fields":[]}"#).unwrap();
        assert_eq!(Pinned::read(&path).unwrap().label, "account.v1.avsc");
    }
}

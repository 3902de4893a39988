//! Ids of records by their external id, for deletes: REST's collections delete by id alone.

use std::collections::HashMap;

use crate::error::{ErrorKind, Failure};

use super::describe::{Field, FieldType};
use super::refusal::Deed;
use super::{RestClient, soql};

impl RestClient {
    /// The ids (18 characters) of the records with these external ids, by [`Field::folded`] of the value. A value
    /// that no record has is left out; a field that is not unique may name several.
    ///
    /// # Errors
    /// `Denied`: the object has no such field, or the user may not see it.
    pub async fn ids_by_external_id(
        &self,
        sobject: &str,
        field: &str,
        values: &[String],
    ) -> Result<HashMap<String, Vec<String>>, Failure> {
        let describe = self.describe(sobject).await?;
        let Some(column) = describe.field(field).filter(|_| soql::is_name(field)) else {
            let message = format!("{sobject} has no field {field} that the integration user can see");
            let failure = Failure::new(ErrorKind::Denied, message);
            return Err(failure.remedy(format!(
                "check the spelling, or give the user read access to {field}, then resume"
            )));
        };
        let literals: Vec<String> = values.iter().filter_map(|value| literal(column, value)).collect();
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        for chunk in soql::literal_chunks(&literals) {
            let query = format!(
                "SELECT Id,{field} FROM {sobject} WHERE {field} IN ({})",
                chunk.join(",")
            );
            let records = self.records(sobject, &query, &[field]).await;
            let records = records.map_err(|error| error.into_failure(Deed::Read, sobject))?;
            for record in records {
                let value = record.get(field).and_then(|value| match value {
                    serde_json::Value::String(text) => Some(text.clone()),
                    serde_json::Value::Number(number) => Some(number.to_string()),
                    _ => None,
                });
                let id = record.get("Id").and_then(|id| id.as_str());
                let id = id.and_then(crate::salesforce::auth::id18);
                let (Some(value), Some(id)) = (value, id) else {
                    return Err(super::call::garbled(sobject));
                };
                found.entry(column.folded(&value)).or_default().push(id);
            }
        }
        Ok(found)
    }
}

/// The value in a query; `None` where no record can have it.
fn literal(field: &Field, value: &str) -> Option<String> {
    if field.field_type.is_number() {
        return is_number(value).then(|| value.to_owned());
    }
    if value.is_empty() {
        return None;
    }
    Some(match field.field_type {
        FieldType::Boolean => return None,
        _ => soql::quoted(value),
    })
}

/// An optional sign, digits, and digits behind a point: nothing that could be more than a number to a query.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Describe;
    use super::*;

    fn field(of_type: &str) -> Field {
        let body = format!(r#"{{"name":"A","fields":[{{"name":"F","type":"{of_type}"}}]}}"#);
        let describe = Describe::parse(body.as_bytes()).unwrap();
        describe.field("F").unwrap().clone()
    }

    #[test]
    fn a_text_is_quoted_and_a_number_is_one() {
        let text = field("string");
        assert_eq!(literal(&text, "O'Neil\\").as_deref(), Some(r"'O\'Neil\\'"));
        assert_eq!(literal(&text, ""), None);
        let number = field("double");
        for good in ["4711", "-1.50", "0"] {
            assert_eq!(literal(&number, good).as_deref(), Some(good));
        }
        for bad in ["", "-", "1.", ".5", "1e5", "1) OR (Id != ''", "NaN", "1,2"] {
            assert_eq!(literal(&number, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_value_is_found_again_in_the_form_that_rest_gives_it_back() {
        let number = field("double");
        for given in ["4711", "4711.0", "4711.00"] {
            assert_eq!(number.folded(given), "4711");
        }
        assert_eq!(number.folded("-1.50"), number.folded("-1.5"));
        let text = field("string");
        assert_eq!(text.folded(" Ab "), "ab");
        assert_ne!(text.folded("4711.0"), text.folded("4711"));
    }
}

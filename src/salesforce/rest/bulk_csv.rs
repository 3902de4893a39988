//! Records as the CSV of Bulk API 2.0, and its results as verdicts. Pure.
//!
//! In this CSV an empty cell means untouched and `#N/A` null (Bulk API 2.0, "Prepare CSV files"), so a record keeps
//! its meaning: a field that is missing is an empty cell; null, and a text that is empty, are `#N/A`. A text that is
//! literally `#N/A` cannot be said: [`fits_bulk`]. A record's own `attributes` are left out, for a job is of one
//! object, and `id` is the column `Id`.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::verdict::{RowRefusal, RowVerdict};

/// Null.
const NOTHING: &str = "#N/A";
/// What a header line may have, in characters; as the other two, from the API's limits.
const HEADER_CHARACTERS_MAX: usize = 32_000;
const FIELD_CHARACTERS_MAX: usize = 131_072;
const RECORD_CHARACTERS_MAX: usize = 400_000;

const ATTRIBUTES: &str = "attributes";
const ID: &str = "sf__Id";
const CREATED: &str = "sf__Created";
const ERROR: &str = "sf__Error";

/// Records that no CSV of Bulk API 2.0 can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("a record has a value that Bulk API 2.0 cannot be told")]
    Record,
    #[error("the records have more fields than a header line of Bulk API 2.0 holds")]
    Header,
}

/// Whether the record means the same through Bulk as through Collections. One that does not goes through those.
///
/// Unfit are: the text `#N/A`, lists, a relationship that is null or names nothing, a number with an exponent, and
/// what is longer than Bulk takes.
pub fn fits_bulk(record: &Map<String, Json>) -> bool {
    let mut characters = 0;
    let fits = fields(record).all(|(name, value)| match cell(name, value) {
        Some((_, text)) => {
            let own = text.chars().count();
            characters += own + 1;
            own <= FIELD_CHARACTERS_MAX
        }
        None => false,
    });
    fits && characters <= RECORD_CHARACTERS_MAX
}

/// The record's value in a column as its row has it, and as the results give it back: what the two are matched by.
pub fn bulk_key(record: &Map<String, Json>, column: &str) -> Option<String> {
    let (_, value) = fields(record).find(|(name, _)| *name == column)?;
    let (_, text) = cell(column, value)?;
    (text != NOTHING).then_some(text)
}

/// What the record says of its fields.
fn fields(record: &Map<String, Json>) -> impl Iterator<Item = (&str, &Json)> {
    let all = record.iter().filter(|(name, _)| *name != ATTRIBUTES);
    all.map(|(name, value)| (if name == "id" { "Id" } else { name.as_str() }, value))
}

/// The records as one CSV: a header line with every field that any of them has, a line a record.
///
/// # Errors
/// When a record does not fit, or there are too many different fields.
pub fn bulk_csv(records: &[Map<String, Json>]) -> Result<Vec<u8>, Unfit> {
    let mut columns: Vec<String> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for record in records {
        for (name, value) in fields(record) {
            let (column, _) = cell(name, value).ok_or(Unfit::Record)?;
            places.entry(column).or_insert_with_key(|column| {
                columns.push(column.clone());
                columns.len() - 1
            });
        }
    }
    let header: usize = columns.iter().map(|column| column.chars().count() + 1).sum();
    if header > HEADER_CHARACTERS_MAX {
        return Err(Unfit::Header);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let line = |writer: &mut csv::Writer<Vec<u8>>, cells: &[String]| {
        // Into memory: it cannot fail, and every line has as many cells as the header.
        writer.write_record(cells).map_err(|_| Unfit::Record)
    };
    line(&mut writer, &columns)?;
    for record in records {
        let mut cells = vec![String::new(); columns.len()];
        for (name, value) in fields(record) {
            let (column, text) = cell(name, value).ok_or(Unfit::Record)?;
            if let Some(place) = places.get(&column).and_then(|place| cells.get_mut(*place)) {
                *place = text;
            }
        }
        line(&mut writer, &cells)?;
    }
    writer.into_inner().map_err(|_| Unfit::Record)
}

/// A field's column and its cell. `None`: it cannot be said in CSV.
fn cell(name: &str, value: &Json) -> Option<(String, String)> {
    if let Json::Object(parts) = value {
        return relationship(name, parts);
    }
    let text = match value {
        Json::Null => NOTHING.to_owned(),
        Json::String(text) if text.is_empty() => NOTHING.to_owned(),
        other => scalar(other)?,
    };
    Some((name.to_owned(), text))
}

/// `{"Account": {"Ext__c": "a"}}` is the column `Account.Ext__c`, `{"Owner": {"attributes": {"type": "User"}, …}}`
/// of a polymorphic relationship is `User:Owner.Ext__c`.
fn relationship(name: &str, parts: &Map<String, Json>) -> Option<(String, String)> {
    let object = match parts.get(ATTRIBUTES) {
        Some(attributes) => Some(attributes.get("type")?.as_str()?),
        None => None,
    };
    let mut keys = parts.iter().filter(|(part, _)| *part != ATTRIBUTES);
    let ((field, value), None) = (keys.next()?, keys.next()) else {
        return None;
    };
    let text = scalar(value).filter(|text| !text.is_empty())?;
    let column = match object {
        Some(object) => format!("{object}:{name}.{field}"),
        None => format!("{name}.{field}"),
    };
    Some((column, text))
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => (!text.trim().eq_ignore_ascii_case(NOTHING)).then(|| text.clone()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Number(number) => {
            let text = number.to_string();
            (!text.contains(['e', 'E'])).then_some(text)
        }
        _ => None,
    }
}

/// Which of a job's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BulkResult {
    Successful,
    Failed,
    /// Rows that a job which was aborted, or failed, never came to.
    Unprocessed,
}

impl BulkResult {
    /// The resource below the job's.
    pub(super) const fn resource(self) -> &'static str {
        match self {
            Self::Successful => "successfulResults",
            Self::Failed => "failedResults",
            Self::Unprocessed => "unprocessedrecords",
        }
    }
}

/// One row of a job's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRow {
    /// The cell of the key's column, as [`bulk_key`] has it.
    pub key: String,
    /// `None`: unprocessed.
    pub verdict: Option<RowVerdict>,
}

/// The rows of one of a job's results, in no order that means anything.
pub struct BulkRows {
    rows: csv::StringRecordsIntoIter<std::io::Cursor<Vec<u8>>>,
    result: BulkResult,
    key: usize,
    id: Option<usize>,
    created: Option<usize>,
    error: Option<usize>,
}

impl std::fmt::Debug for BulkRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkRows")
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

/// Results that are not what Bulk API 2.0 documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the results of a bulk job are no CSV, or lack a column")]
pub struct NoResults;

impl BulkRows {
    /// `key` is the column that records are matched by. No content at all is no rows.
    pub(super) fn read(content: Vec<u8>, result: BulkResult, key: &str) -> Result<Self, NoResults> {
        let is_empty = content.is_empty();
        let mut reader = csv::Reader::from_reader(std::io::Cursor::new(content));
        let header = reader.headers().map_err(|_| NoResults)?.clone();
        let place = |column: &str| header.iter().position(|name| name == column);
        let key = match place(key) {
            Some(key) => key,
            None if is_empty => 0,
            None => return Err(NoResults),
        };
        let rows = Self {
            rows: reader.into_records(),
            result,
            key,
            id: place(ID),
            created: place(CREATED),
            error: place(ERROR),
        };
        if result == BulkResult::Failed && rows.error.is_none() && !is_empty {
            return Err(NoResults);
        }
        Ok(rows)
    }

    fn row(&self, cells: &csv::StringRecord) -> Option<BulkRow> {
        let text = |place: Option<usize>| place.and_then(|place| cells.get(place));
        let id = text(self.id).filter(|id| !id.is_empty()).map(str::to_owned);
        let verdict = match self.result {
            BulkResult::Successful => Some(RowVerdict::Done {
                id,
                created: text(self.created).is_some_and(|created| created.eq_ignore_ascii_case("true")),
            }),
            BulkResult::Failed => Some(RowVerdict::Refused(RowRefusal::of_bulk(text(self.error)?, id))),
            BulkResult::Unprocessed => None,
        };
        Some(BulkRow {
            key: cells.get(self.key)?.to_owned(),
            verdict,
        })
    }
}

impl Iterator for BulkRows {
    type Item = Result<BulkRow, NoResults>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.rows.next()? {
            Ok(cells) => self.row(&cells),
            Err(_) => None,
        };
        Some(row.ok_or(NoResults))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(json: &Json) -> Map<String, Json> {
        json.as_object().cloned().unwrap()
    }

    fn csv_of(records: &[Json]) -> String {
        let records: Vec<_> = records.iter().map(map).collect();
        String::from_utf8(bulk_csv(&records).unwrap()).unwrap()
    }

    #[test]
    fn missing_is_untouched_and_null_and_empty_clear() {
        let csv = csv_of(&[
            json!({"Ext__c": "a", "Name": "Acme", "Size__c": 1.5, "Is__c": true}),
            json!({"Ext__c": "b", "Phone": null, "Name": ""}),
            json!({"Phone": "1", "Ext__c": "c"}),
        ]);
        assert_eq!(
            csv,
            "Ext__c,Name,Size__c,Is__c,Phone\na,Acme,1.5,true,\nb,#N/A,,,#N/A\nc,,,,1\n"
        );
    }

    #[test]
    fn a_value_stands_in_its_cell_whatever_is_in_it() {
        let values = [
            "a,b",
            "say \"no\"",
            "two\nlines",
            "two\r\nlines",
            " kept ",
            "ü\u{1F600}",
            "=1+1",
            "'",
        ];
        let records: Vec<_> = values.iter().map(|value| map(&json!({"K": value}))).collect();
        let csv = bulk_csv(&records).unwrap();
        let mut reader = csv::Reader::from_reader(csv.as_slice());
        let read: Vec<_> = reader
            .records()
            .map(|row| row.unwrap().get(0).unwrap().to_owned())
            .collect();
        assert_eq!(read, values);
        let text = String::from_utf8(csv).unwrap();
        assert!(text.contains("\"say \"\"no\"\"\""), "{text}");
    }

    #[test]
    fn a_relationship_is_a_column_of_its_own() {
        let csv = csv_of(&[
            json!({"Ext__c": "a", "Account": {"Ext__c": "p"}}),
            json!({"Ext__c": "b", "Owner": {"attributes": {"type": "User"}, "Key__c": 7}}),
        ]);
        assert_eq!(csv, "Ext__c,Account.Ext__c,User:Owner.Key__c\na,p,\nb,,7\n");
    }

    #[test]
    fn a_record_for_collections_is_one_for_bulk() {
        let record = json!({"attributes": {"type": "Account"}, "id": "001A", "Name": "A"});
        assert!(fits_bulk(&map(&record)));
        assert_eq!(bulk_key(&map(&record), "Id").as_deref(), Some("001A"));
        assert_eq!(csv_of(&[record]), "Id,Name\n001A,A\n");
    }

    #[test]
    fn what_bulk_cannot_be_told_does_not_fit() {
        for fit in [
            json!({}),
            json!({"A": "#N/A!"}),
            json!({"A": null, "B": "", "C": false, "D": -1.5, "P": {"E": "x"}}),
        ] {
            assert!(fits_bulk(&map(&fit)), "{fit}");
        }
        for unfit in [
            json!({"A": "#N/A"}),
            json!({"A": " #n/a"}),
            json!({"A": []}),
            json!({"P": {}}),
            json!({"P": {"E": null}}),
            json!({"P": {"E": ""}}),
            json!({"P": {"E": "#N/A"}}),
            json!({"P": {"E": "x", "F": "y"}}),
            json!({"P": {"E": {"F": "x"}}}),
            json!({"P": {"attributes": {}, "E": "x"}}),
            json!({"A": 1e300}),
            json!({"A": "x".repeat(FIELD_CHARACTERS_MAX + 1)}),
            json!({"A": "x".repeat(131_000), "B": "x".repeat(131_000), "C": "x".repeat(131_000), "D": "x".repeat(8_000)}),
        ] {
            let record = map(&unfit);
            assert!(!fits_bulk(&record), "{:.60}", unfit.to_string());
        }
        assert_eq!(bulk_csv(&[map(&json!({"A": "#N/A"}))]), Err(Unfit::Record));
        let wide: Map<_, _> = (0..2_000)
            .map(|n| (format!("A_Long_Name_{n}__c"), json!(1)))
            .collect();
        assert_eq!(bulk_csv(&[wide]), Err(Unfit::Header));
    }

    #[test]
    fn a_records_key_is_its_cell() {
        let record = map(&json!({"Ext__c": "A b", "Number__c": 4711.0, "Int__c": 5, "None__c": null}));
        assert_eq!(bulk_key(&record, "Ext__c").as_deref(), Some("A b"));
        assert_eq!(bulk_key(&record, "Number__c").as_deref(), Some("4711.0"));
        assert_eq!(bulk_key(&record, "Int__c").as_deref(), Some("5"));
        assert_eq!(bulk_key(&record, "None__c"), None);
        assert_eq!(bulk_key(&record, "Missing__c"), None);
    }

    fn rows(content: &str, result: BulkResult) -> Vec<BulkRow> {
        let rows = BulkRows::read(content.as_bytes().to_vec(), result, "Ext__c").unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn results_are_verdicts_by_key() {
        let done = rows(
            "\"sf__Id\",\"sf__Created\",\"Name\",\"Ext__c\"\n\"001A\",\"true\",\"x\",\"a,1\"\n\"001B\",\"false\",\"y\",\"b\"\n",
            BulkResult::Successful,
        );
        let verdict = |id: &str, created| {
            Some(RowVerdict::Done {
                id: Some(id.to_owned()),
                created,
            })
        };
        assert_eq!(
            (done[0].key.as_str(), &done[0].verdict),
            ("a,1", &verdict("001A", true))
        );
        assert_eq!(
            (done[1].key.as_str(), &done[1].verdict),
            ("b", &verdict("001B", false))
        );
        let failed = rows(
            "sf__Id,sf__Error,Ext__c\n\"\",\"DUPLICATE_VALUE:duplicate value found: Other__c:Other__c --\",c\n",
            BulkResult::Failed,
        );
        let Some(RowVerdict::Refused(refusal)) = &failed[0].verdict else {
            panic!()
        };
        assert_eq!(
            (
                refusal.status_code.as_str(),
                refusal.fields.as_slice(),
                &refusal.id
            ),
            ("DUPLICATE_VALUE", &["Other__c".to_owned()][..], &None)
        );
        let left = rows("Ext__c,Name\nd,\ne,\"two\nlines\"\n", BulkResult::Unprocessed);
        assert_eq!(
            left.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(),
            ["d", "e"]
        );
        assert!(left.iter().all(|row| row.verdict.is_none()));
    }

    #[test]
    fn results_that_are_none_are_told_from_results_without_rows() {
        for empty in ["", "sf__Id,sf__Error,Ext__c\n"] {
            assert!(rows(empty, BulkResult::Failed).is_empty());
        }
        for (content, result) in [
            ("sf__Id,sf__Error,Other__c\n", BulkResult::Failed),
            ("sf__Id,Ext__c\n", BulkResult::Failed),
            ("<html>", BulkResult::Successful),
        ] {
            assert!(BulkRows::read(content.as_bytes().to_vec(), result, "Ext__c").is_err());
        }
        let mut short =
            BulkRows::read(b"sf__Id,Ext__c\nx\n".to_vec(), BulkResult::Successful, "Ext__c").unwrap();
        assert_eq!(short.next(), Some(Err(NoResults)));
    }
}

//! Rows of CSV as Bulk API 2.0 has them: what a client uploads, and what it reads back. Pure.
//!
//! An empty value leaves its field alone, `#N/A` clears it, and `Account.Customer_Id__c` names another record by its
//! key.

use csv::{ReaderBuilder, StringRecord, Terminator, WriterBuilder};
use serde_json::{Map, Value as Json, json};

use crate::simulator::writes::RecordError;

use super::sobject::SObject;
use super::write::Outcome;

/// How a client's CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) ends_in_crlf: bool,
}

impl Dialect {
    /// By the names that Salesforce has for them.
    pub(crate) fn named(delimiter: &str, line_ending: &str) -> Option<Self> {
        let delimiter = match delimiter {
            "COMMA" => b',',
            "SEMICOLON" => b';',
            "PIPE" => b'|',
            "TAB" => b'\t',
            "CARET" => b'^',
            "BACKQUOTE" => b'`',
            _ => return None,
        };
        let ends_in_crlf = match line_ending {
            "LF" => false,
            "CRLF" => true,
            _ => return None,
        };
        Some(Self {
            delimiter,
            ends_in_crlf,
        })
    }
}

/// An upload, read.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) columns: StringRecord,
    pub(crate) rows: Vec<StringRecord>,
}

/// # Errors
/// Salesforce's kind of sentence for a job that fails as a whole.
pub(crate) fn read(dialect: Dialect, content: &[u8]) -> Result<Sheet, String> {
    let mut reader = ReaderBuilder::new()
        .delimiter(dialect.delimiter)
        .from_reader(content);
    let broken = |error: csv::Error| format!("InvalidBatch : {error}");
    let columns = reader.headers().map_err(broken)?.clone();
    let rows = reader.records().collect::<Result<_, _>>().map_err(broken)?;
    Ok(Sheet { columns, rows })
}

/// The first column that names nothing of the object.
pub(crate) fn unknown_column<'s>(object: &SObject, sheet: &'s Sheet) -> Option<&'s str> {
    sheet.columns.iter().find(|name| match name.split_once('.') {
        Some((relationship, _)) => object.reference(relationship).is_none(),
        None => object.column(name).is_none(),
    })
}

/// A row as the fields that REST would be given.
pub(crate) fn fields(columns: &StringRecord, row: &StringRecord) -> Map<String, Json> {
    let mut fields = Map::new();
    for (name, value) in columns.iter().zip(row) {
        let (name, value) = match (name.split_once('.'), value) {
            (_, "") => continue,
            (None, "#N/A") => (name, Json::Null),
            (Some((relationship, _)), "#N/A") => (relationship, Json::Null),
            (None, value) => (name, json!(value)),
            (Some((relationship, key)), value) => (relationship, json!({ key: value })),
        };
        fields.insert(name.to_owned(), value);
    }
    fields
}

/// A row, and what became of it; nothing yet, or nothing at all.
pub(crate) type Processed<'r> = (&'r StringRecord, Option<&'r Outcome>);

/// Which of the three results of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Results {
    Successful,
    Failed,
    Unprocessed,
}

/// # Errors
/// When the rows cannot be written, which does not happen in memory.
pub(crate) fn results<'r>(
    dialect: Dialect,
    columns: &StringRecord,
    rows: impl Iterator<Item = Processed<'r>>,
    which: Results,
) -> Result<Vec<u8>, csv::Error> {
    let terminator = if dialect.ends_in_crlf {
        Terminator::CRLF
    } else {
        Terminator::Any(b'\n')
    };
    let mut writer = WriterBuilder::new()
        .delimiter(dialect.delimiter)
        .terminator(terminator)
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    let leading: &[&str] = match which {
        Results::Successful => &["sf__Id", "sf__Created"],
        Results::Failed => &["sf__Id", "sf__Error"],
        Results::Unprocessed => &[],
    };
    writer.write_record(leading.iter().copied().chain(columns))?;
    for (row, outcome) in rows {
        let leading = match (which, outcome) {
            (Results::Successful, Some(Ok(saved))) => vec![saved.id.clone(), saved.created.to_string()],
            (Results::Failed, Some(Err(error))) => vec![String::new(), shown(error)],
            (Results::Unprocessed, None) => Vec::new(),
            _ => continue,
        };
        writer.write_record(leading.iter().map(String::as_str).chain(row))?;
    }
    Ok(writer.into_inner().unwrap_or_default())
}

/// `CODE:message:Field --`
fn shown(error: &RecordError) -> String {
    let fields = error.fields.join(", ");
    let space = if fields.is_empty() { "" } else { " " };
    format!("{}:{}:{fields}{space}--", error.status_code, error.message)
}

#[cfg(test)]
mod tests {
    use super::super::write::Saved;
    use super::*;

    const COMMA: Dialect = Dialect {
        delimiter: b',',
        ends_in_crlf: false,
    };

    #[test]
    fn empty_leaves_alone_and_na_clears() {
        let content = "Name,Phone,Fax,Parent.Customer_Id__c,Owner.X__c\n\"A, \"\"b\"\"\",,#N/A,P-1,#N/A\n";
        let sheet = read(COMMA, content.as_bytes()).expect("CSV");
        assert_eq!(
            Json::Object(fields(&sheet.columns, &sheet.rows[0])),
            json!({"Name": "A, \"b\"", "Fax": null, "Parent": {"Customer_Id__c": "P-1"}, "Owner": null})
        );
        assert!(read(COMMA, b"a,b\n1\n").is_err(), "a row that is too short");
    }

    #[test]
    fn results_hold_the_rows_that_are_theirs() {
        let columns = StringRecord::from(vec!["Name"]);
        let rows = ["a", "b", "c"].map(|name| StringRecord::from(vec![name]));
        let saved = Ok(Saved {
            id: "001".into(),
            created: true,
        });
        let refused = Err(RecordError::new("STRING_TOO_LONG", "too long").on("Name"));
        let outcomes = [Some(&saved), Some(&refused), None];
        let text = |which| {
            let rows = rows.iter().zip(outcomes);
            String::from_utf8(results(COMMA, &columns, rows, which).expect("CSV")).expect("UTF-8")
        };
        assert_eq!(
            text(Results::Successful),
            "\"sf__Id\",\"sf__Created\",\"Name\"\n\"001\",\"true\",\"a\"\n"
        );
        assert_eq!(
            text(Results::Failed),
            "\"sf__Id\",\"sf__Error\",\"Name\"\n\"\",\"STRING_TOO_LONG:too long:Name --\",\"b\"\n"
        );
        assert_eq!(text(Results::Unprocessed), "\"Name\"\n\"c\"\n");
    }
}

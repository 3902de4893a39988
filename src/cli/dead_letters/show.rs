//! `sfbridge dead-letters show`: one dead letter, with what to do about it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::list::{as_json, or_dash, time};
use super::value::{Shown, value};
use super::{Desk, Output, Refused, shape};
use crate::app::Exit;
use crate::kafka::{Extent, Scan, extents};
use crate::routes::redrive::{Address, Letter, Mark, Marks, remedy};

/// Of bytes that a person can hardly read, a terminal shows so many characters.
const HEX_SHOWN_MAX: usize = 2048;

const JSON: &str = r#"As JSON, what `dead-letters list` tells of it, and:
  {…, "remedy": "…", "redrive": "sfbridge dead-letters redrive …", "key": "001A",
   "headers": {"sfbridge_route": "customers", …}, "value": {…}}

A value that is no JSON is text, or {"hex": "…", "decoded": {…}}, or {"hex": "…", "not_decoded": "why"}."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge dead-letters show 'sfbridge.crm.dead-letters[3]@17'\n  sfbridge dead-letters show 'sfbridge.crm.dead-letters[3]@17' --output json | jq .value\n\nThe address is what `dead-letters list` shows. The record is printed as it is, with its values."
)]
pub(super) struct Args {
    /// Where it lies: topic[partition]@offset
    address: Address,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: &Args, desk: &Desk<'_>) -> Result<Exit, Refused> {
    let letter = read(&arguments.address, desk).await?;
    let mark = Marks::read(&desk.topics).await?.of(&letter.record);
    let shown = value(&letter, desk.config).await;
    Ok(arguments.output.print(
        || text(&letter, mark.as_ref(), &shown, desk.file),
        || json(&letter, mark.as_ref(), &shown, desk.file),
    ))
}

async fn read(address: &Address, desk: &Desk<'_>) -> Result<Letter, Refused> {
    let Address {
        topic,
        partition,
        offset,
    } = address;
    let nothing = || {
        Refused::Asked(format!(
            "there is no record at {address}: `dead-letters list` shows what there is"
        ))
    };
    let known = extents(&desk.topics, std::slice::from_ref(topic)).await?;
    let holds =
        |extent: &Extent| extent.partition == *partition && (extent.begin..extent.end).contains(offset);
    if !known.iter().any(holds) {
        return Err(nothing());
    }
    let one = Extent {
        topic: topic.clone(),
        partition: *partition,
        begin: *offset,
        end: offset + 1,
    };
    let mut scan = Scan::start(&desk.topics, vec![one]).await?;
    Ok(Letter::new(scan.next().await.ok_or_else(nothing)??))
}

/// The command that sends the letter again. None: it has no route.
fn command(letter: &Letter, file: &Path) -> Option<String> {
    let route = Some(letter.route()).filter(|route| !route.is_empty())?;
    Some(format!(
        "sfbridge dead-letters redrive --route {route} '{}' --config {}",
        letter.address(),
        file.display()
    ))
}

fn json(letter: &Letter, mark: Option<&Mark>, shown: &Shown, file: &Path) -> Json {
    let mut document = as_json(letter, mark);
    let headers = letter
        .record
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Shown::header(value.as_deref())));
    document["remedy"] = json!(remedy(letter.kind(), letter.error()));
    document["redrive"] = json!(command(letter, file));
    document["key"] = Shown::plain(letter.record.key.as_deref()).json();
    document["headers"] = Json::Object(headers.collect::<Map<_, _>>());
    document["value"] = shown.json();
    document
}

impl Shown {
    /// A header is text, or hex where it is none.
    fn header(value: Option<&[u8]>) -> Json {
        value.map_or(Json::Null, |value| {
            Json::from(std::str::from_utf8(value).map_or_else(|_| hex::encode(value), str::to_owned))
        })
    }
}

fn text(letter: &Letter, mark: Option<&Mark>, shown: &Shown, file: &Path) -> String {
    let mut out = format!("{}\n", letter.address());
    let redriven = mark.map_or_else(
        || "no".to_owned(),
        |mark| format!("{}: {}", mark.at, mark.outcome.name()),
    );
    let key = match Shown::plain(letter.record.key.as_deref()) {
        Shown::Nothing => "-".to_owned(),
        Shown::Json(json) => json.to_string(),
        Shown::Text(text) => text,
        Shown::Bytes { hex, .. } => hex,
    };
    for (name, value) in [
        ("route", or_dash(letter.route())),
        ("source", or_dash(letter.source())),
        ("failed at", &time(letter)),
        ("kind", or_dash(letter.kind())),
        ("attempts", or_dash(letter.attempts())),
        ("redriven", &redriven),
        ("error", or_dash(letter.error())),
        ("remedy", remedy(letter.kind(), letter.error())),
        (
            "redrive",
            &command(letter, file).unwrap_or_else(|| "-".to_owned()),
        ),
        ("key", &key),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<10} {value}");
    }
    out.push_str("headers\n");
    for (name, value) in &letter.record.headers {
        // The error stands above.
        if name != "sfbridge_error" {
            let shown = match Shown::header(value.as_deref()) {
                Json::String(text) => text,
                _ => "-".to_owned(),
            };
            let _ = writeln!(out, "  {name}: {shown}");
        }
    }
    let bytes = letter.record.value.as_ref().map_or(0, bytes::Bytes::len);
    let _ = match shown {
        Shown::Nothing if letter.source().starts_with('/') => {
            writeln!(out, "value      none: it was too large for the dead-letter topic")
        }
        Shown::Nothing => writeln!(out, "value      none: a tombstone"),
        Shown::Json(json) => writeln!(out, "value      JSON, {bytes} bytes\n{json:#}"),
        Shown::Text(text) => writeln!(out, "value      text, {bytes} bytes\n{text}"),
        Shown::Bytes { hex, decoded } => {
            let cut = hex.get(..HEX_SHOWN_MAX).map_or_else(
                || hex.clone(),
                |begin| format!("{begin}… (all of it with --output json)"),
            );
            let _ = writeln!(out, "value      {bytes} bytes\n{cut}");
            match decoded {
                Ok(json) => writeln!(out, "decoded\n{json:#}"),
                Err(why) => writeln!(out, "not decoded: {why}"),
            }
        }
    };
    out
}

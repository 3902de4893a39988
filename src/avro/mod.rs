//! Avro as the data path needs it: schemas with their names resolved, and data read and written in place.
//!
//! * **In**: a schema's JSON ([`Schema::parse`]), a bare datum ([`Wire`]).
//! * **Out**: places of values in a datum, values, bytes. No value tree is ever built.
//! * **Hostile bytes** end in a [`WireError`], never in a panic, an endless loop or an allocation larger than the
//!   data. Errors name fields, never values.
//!
//! Source of the encoding and of the rules for names: the Apache Avro specification, 1.12.

pub mod calendar;
mod from_json;
mod schema;
mod to_json;
mod wire;
pub mod write;

pub use from_json::{Misfit, write_json_value};
pub use schema::{Field, Kind, Name, Node, Record, Schema, SchemaError, TypeId};
pub use to_json::{LongForm, write_value_as_json};
pub use wire::{Wire, WireError};

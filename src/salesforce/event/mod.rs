//! From Salesforce's Avro payloads to what the bridge writes. Pure: bytes and a schema in, names and JSON out.
//!
//! ```text
//!  payload ──▶ decode ──▶ DecodedEvent (header with field names · body offset · times · record ids)
//!     ├──────────┴──────▶ write_json / json_values ──▶ one JSON object a record id
//!     ├──────────┴──────▶ write_datum ──▶ the same Avro, names in place of bitmaps
//!     └──────────┴──────▶ FieldIndex, EventView ──▶ fields in place, for filters and projections
//! ```
//!
//! * **In**: a bare Avro datum (no framing) and the [`EventSchema`] with the *event's own* schema id. Another
//!   version of the schema shows as a [`DecodeError`]: data that ends early or bytes left over.
//! * **Out**: [`decode`] reads what routing needs and looks no further than that; it says nothing about the rest
//!   of the body. The JSON writers read every byte and are the proof that the event decodes.
//! * **Hostile bytes** end in a [`DecodeError`], never in a panic, an endless loop or an allocation larger than
//!   the payload. Error texts hold names of fields and events, never values.
//! * Nothing here knows of Kafka: keys, ids and headers of records are put together by the routes.
//!
//! The body begins at [`DecodedEvent::body_offset`]; everything before it is the header.

mod bitmap;
mod decode;
mod error;
mod header;
mod json;
mod schema;
mod splice;
mod view;

pub use decode::{DecodedEvent, decode};
pub use error::DecodeError;
pub use header::{ChangeEventHeader, ChangeType};
pub use json::{json_values, write_json};
pub use schema::{DocType, EventSchema, Field, SchemaError};
pub use splice::{write_datum, write_header};
pub use view::{EventView, FieldIndex};

#[cfg(test)]
mod tests;

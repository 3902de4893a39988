//! From the bytes of a Kafka record to what Salesforce is sent.
//!
//! ```text
//!  Incoming ─▶ Source::decode ─▶ Decoded ─▶ Program::keeps ─┬▶ EventTarget::payload ─▶ an Avro datum to publish
//!   key, value, headers           JSON        filter (CEL)  └▶ RecordTarget::write ──▶ Write: record, delete or nothing
//! ```
//!
//! * **In**: a record as Kafka has it; the route's expressions, compiled once; the event's schema, or the object's
//!   `describe`, each prepared once ([`EventTarget::new`], [`RecordTarget::new`]) and anew when Salesforce shows
//!   another one.
//! * **Out**: bytes or a JSON object, the same for the same record, so that a repeat is a repeat.
//! * **Null means null, missing means untouched.** A member that the value lacks leaves its field out of a record
//!   that is written; in an event, which has all of its fields, it is null.
//! * **Nothing is guessed**: a value that the target's type does not hold exactly is a [`Refusal`], which names the
//!   field and the rule. `docs/mapping.md` has the table.
//! * [`Refusal::public`] is for logs and the API; the dead letter alone gets [`Refusal::reason`].
//!
//! Pure, but that a writer's schema is asked of the registry.

mod coerce;
mod column;
mod datum;
mod event;
mod expression;
mod ignored;
mod moment;
mod program;
mod record;
mod refusal;
mod source;

pub use event::EventTarget;
pub use program::{CompileError, Program};
pub use record::{ExternalId, RecordTarget, Victim, Write};
pub use refusal::Refusal;
pub use source::{DecodeError, Decoded, Incoming, Key, Source};

#[cfg(test)]
mod tests;

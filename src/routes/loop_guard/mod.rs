//! `skip_own_writes`: which changes this bridge made itself.
//!
//! ```text
//!  writing route:  announce ─▶ request to Salesforce ─▶ settle        one intent a record, hashes of its values
//!                     └────────────┬─────────────────────┘
//!                     _sfbridge.<bridge>.writes (compacted)
//!                                  └──▶ Book (followed by every instance that runs a skipping route)
//!  skipping route: change event ─▶ Judge (Book, what this route has seen) ─▶ own · foreign · wait
//! ```
//!
//! * **In**: what a route is about to write, what became of it, and the change events of a route that skips.
//! * **Out**: for every record of an event whether the bridge made the change, and all of it.
//! * **Own** is a change of the integration user (or under the bridge's client name) whose every field is one that
//!   a write not yet seen back has sent, with an equal value. What automation changed on top makes it flow on, and so
//!   does every doubt: a change that passes once too often settles by itself, one that is dropped is lost.
//! * Each skipping route sees a write back for itself. A stream is in the order of commits, so a route that is past
//!   a write's time will not see it any more: nothing is remembered for longer than that.
//! * No value is stored or logged: an intent holds salted hashes.

mod book;
mod change;
mod intent;
mod judge;
mod origin;
mod route;
mod scope;
mod store;
mod values;

pub use book::Book;
pub use change::ObjectFields;
pub use intent::{Announced, Intent, Settled};
pub use judge::Verdict;
pub use origin::{client_name, is_own};
pub use route::{RouteGuard, Verdicts};
pub use scope::Scope;
pub use store::OwnWrites;

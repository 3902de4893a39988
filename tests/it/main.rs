//! One integration binary.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "a test may fail by panicking, and prints what it saw"
)]

mod tidy;

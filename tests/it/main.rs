//! One integration binary.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod kafka;
mod support;

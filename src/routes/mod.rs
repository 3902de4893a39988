//! What happens between the two sides: pure decisions beside thin loops.
//!
//! An event passes once, in one direction: stream → decode → records of every output → batch → transaction
//! (records, dead letters, gap reports and position together). A position moves only with what it covers, so
//! a crash at any point repeats work, never records. Nothing here is dropped: an event is delivered, filtered
//! (counted), dead-lettered (stored), or its route halts and says why.

pub mod activity;
pub mod batch;
pub mod cloud_event;
pub mod culprit;
pub mod dead_letter;
pub mod filter;
pub mod gap;
pub mod loop_guard;
pub mod mapping;
pub mod output;
pub mod position;
pub mod redrive;
pub mod reread;
pub mod route;
pub mod start;
pub mod state;
pub mod to_kafka;
pub mod to_salesforce;
pub mod tracker;
pub mod trouble;
mod waits;

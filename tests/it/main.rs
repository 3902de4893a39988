//! One integration binary: everything with input and output, against a real broker and the simulator.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "a test binary has no outside; a test may fail by panicking, and prints what it saw"
)]

mod admin;
mod commands;
mod compatibility;
mod config;
mod contracts_cli;
mod dead_letters;
mod demo;
mod deployment;
mod docs;
mod foreign_avro;
mod foreign_clients;
mod foreign_writers;
mod kafka;
mod loop_guard;
mod loop_guard_rest;
mod registry;
mod salesforce_rest;
mod salesforce_writes;
mod second_reader;
mod status_page;
mod support;
mod telemetry;
mod tidy;
mod to_kafka;
mod to_salesforce;

//! Compiles `proto/pubsub_api.proto` with protox, so that no system `protoc` is needed, and tells the linker how to write
//! addresses down.

#![allow(clippy::disallowed_macros, reason = "how a build script speaks to cargo")]

use std::env::var;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/pubsub_api.proto");
    println!("cargo::rerun-if-changed=build.rs");
    let descriptors = protox::compile(["pubsub_api.proto"], ["proto"])?;
    tonic_prost_build::configure()
        // Payloads, schemas' bytes and replay ids stay slices of the receive buffer: no copy an event.
        .bytes(".")
        .compile_fds(descriptors)?;
    if reads_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}

/// The program is position independent: some hundred thousand addresses are filled in when it starts. Listed one by one
/// they are 2.6 MB, which stay in memory; packed they are 40 KB. glibc reads the packed form from 2.36 on (its release
/// notes; `GLIBC_ABI_DT_RELR`). Asked is the machine that builds, whose glibc the program is linked with.
fn reads_packed_relocations() -> bool {
    let is_native = var("HOST").ok() == var("TARGET").ok();
    let is_glibc = var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu")
        && var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    is_native && is_glibc && glibc().is_some_and(|version| version >= (2, 36))
}

/// Of this machine, as in `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

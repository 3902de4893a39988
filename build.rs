//! Compiles `proto/pubsub_api.proto` with protox, so that no system `protoc` is needed.

#[allow(clippy::disallowed_macros, reason = "how a build script speaks to cargo")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/pubsub_api.proto");
    let descriptors = protox::compile(["pubsub_api.proto"], ["proto"])?;
    tonic_prost_build::configure()
        // Payloads, schemas' bytes and replay ids stay slices of the receive buffer: no copy an event.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}

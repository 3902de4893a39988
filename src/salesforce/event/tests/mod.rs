//! Events from bytes to JSON. `apache-avro`, which shares no code with the decoder, writes the payloads.

mod bitmaps;
mod fixtures;
mod hostile;
mod platform;
mod properties;
mod schemas;
mod splitting;
mod values;

//! Logs to stderr, as text or JSON. What is logged never holds a payload, a token or a field value.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormat};

/// Installs the subscriber; a second call changes nothing. `SFBRIDGE_LOG` overrides the configured level.
///
/// # Errors
/// When the level is not one that the filter understands; the text says which part.
pub fn install(config: &LogConfig) -> Result<(), String> {
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    install_to(config, colours, std::io::stderr)
}

/// The same, with lines that go elsewhere than to stderr.
///
/// # Errors
/// As [`install`].
pub fn install_to<W>(config: &LogConfig, colours: bool, writer: W) -> Result<(), String>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let level = std::env::var("SFBRIDGE_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(&level).map_err(|error| format!("log.level: {error}, got {level:?}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second subscriber in one process (tests) can fail here: the first one stays.
    let _ = match config.format {
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(writer))
            .try_init(),
        LogFormat::Text => registry
            .with(fmt::layer().with_ansi(colours).with_writer(writer))
            .try_init(),
    };
    Ok(())
}

//! Logs to stderr, as text or JSON, at a level that can be changed while the program runs. What is logged never holds
//! a payload, a token or a field value.

use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// What a level may be.
pub const LEVEL_RULE: &str =
    "must be error, warn, info, debug or trace, or directives such as `info,sfbridge::kafka=debug`";

/// The filter of the process's one subscriber, and the text it was made from.
struct Filter {
    handle: reload::Handle<Targets, Registry>,
    level: Mutex<String>,
}

static FILTER: OnceLock<Filter> = OnceLock::new();

/// Installs the subscriber; a second call changes nothing. `SFBRIDGE_LOG` overrides the configured level.
///
/// # Errors
/// When the level is not one that the filter understands.
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
    let targets = parse(&level).ok_or_else(|| format!("log.level: {LEVEL_RULE}, got {level:?}"))?;
    let (filter, handle) = reload::Layer::new(targets);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match config.format {
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(writer))
            .try_init(),
        LogFormat::Text => registry
            .with(fmt::layer().with_ansi(colours).with_writer(writer))
            .try_init(),
    };
    // Only a second subscriber in one process (tests) can fail here: the first one stays, and its filter.
    if installed.is_ok() {
        let level = Mutex::new(level);
        let _ = FILTER.set(Filter { handle, level });
    }
    Ok(())
}

/// The level in force; `None` before [`install`].
pub fn level() -> Option<String> {
    FILTER.get().map(|filter| filter.level.lock().clone())
}

/// Changes the level until the program ends; the change itself is logged.
///
/// # Errors
/// When the level is not one that the filter understands; nothing is changed then.
pub fn set_level(level: &str) -> Result<(), String> {
    let level = level.trim();
    let targets = parse(level).ok_or_else(|| LEVEL_RULE.to_owned())?;
    let Some(filter) = FILTER.get() else {
        return Err("this process writes no logs".to_owned());
    };
    let mut shown = filter.level.lock();
    // Under whichever of the two levels shows it.
    let is_shown = tracing::enabled!(Level::INFO);
    let told = |before: &str| tracing::info!(before, now = level, "log level changed");
    if is_shown {
        told(&shown);
    }
    filter
        .handle
        .reload(targets)
        .map_err(|_| "this process writes no logs any more".to_owned())?;
    // What other crates log through `log` has a limit of its own.
    log::set_max_level(of_log(LevelFilter::current()));
    if !is_shown {
        told(&shown);
    }
    level.clone_into(&mut shown);
    Ok(())
}

/// `None` for what the filter does not understand.
pub fn parse(level: &str) -> Option<Targets> {
    // The parser takes a lone word that is no level for the name of a module.
    let is_meant = |part: &str| part.contains('=') || part.trim().parse::<Level>().is_ok();
    let targets = level.parse().ok()?;
    level.split(',').all(is_meant).then_some(targets)
}

fn of_log(level: LevelFilter) -> log::LevelFilter {
    match level.into_level() {
        None => log::LevelFilter::Off,
        Some(Level::ERROR) => log::LevelFilter::Error,
        Some(Level::WARN) => log::LevelFilter::Warn,
        Some(Level::INFO) => log::LevelFilter::Info,
        Some(Level::DEBUG) => log::LevelFilter::Debug,
        Some(Level::TRACE) => log::LevelFilter::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_directives_and_never_a_module_alone() {
        for level in [
            "info",
            "WARN",
            "info,sfbridge::kafka=debug",
            "sfbridge::kafka=debug, warn",
        ] {
            assert!(parse(level).is_some(), "{level}");
        }
        for level in [
            "",
            "inof",
            "sfbridge",
            "info,sfbridge=loud",
            "info,,warn",
            "[x=1]",
        ] {
            assert!(parse(level).is_none(), "{level}");
        }
    }
}

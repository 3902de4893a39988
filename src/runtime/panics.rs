//! What is told of a panic, which is a bug: where it was, and its message only where that stands in the source. A
//! message that was put together may quote what it stumbled over: a text that is cut inside a letter is quoted whole.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};

const LEFT_OUT: &str = "its message is left out, for it may quote a value";

/// From now on panics are told so, in the log or, before there is one, on stderr.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let said = said(info.payload());
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| format!("\n{trace}"));
        let trace = trace.unwrap_or_default();
        if tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!(place, "a bug: {said}{trace}");
        } else {
            eprintln!("sfbridge: a bug at {place}: {said}{trace}");
        }
    }));
}

/// What may be told of a panic's message.
pub fn said(payload: &(dyn Any + Send)) -> &'static str {
    // A literal; what `format_args!` made is a `String`.
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or(LEFT_OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_stands_in_the_source_is_told() {
        assert_eq!(said(&"the map is empty"), "the map is empty");
        let quoting = "inside 'ä' of `Secret Name`".to_owned();
        assert_eq!(said(&quoting), LEFT_OUT);
        assert_eq!(said(&7_u8), LEFT_OUT);
    }
}

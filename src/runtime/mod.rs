//! What every daemon needs and no domain word enters: retry delays, the clock, supervision, shutdown.

pub mod clock;
pub mod flight;
pub mod panics;
pub mod retry;
pub mod shutdown;
pub mod supervisor;
pub mod task;

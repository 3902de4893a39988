//! How far something that takes a while is: one line on stderr, painted over, for a person who watches.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

const WIDTH: u64 = 24;
const PAINT_EVERY: Duration = Duration::from_millis(200);
/// What is over sooner needs no bar.
const PAINT_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Bar {
    total: u64,
    /// Of the steps.
    done: u64,
    /// Nobody watches a pipe.
    is_seen: bool,
    begun: Instant,
    painted: Option<Instant>,
}

impl Bar {
    /// `is_free`: nothing else is written to the terminal meanwhile.
    pub(super) fn new(total: u64, is_free: bool) -> Self {
        Self {
            total,
            done: 0,
            is_seen: is_free && std::io::stderr().is_terminal(),
            begun: Instant::now(),
            painted: None,
        }
    }

    pub(super) fn show(&mut self, done: u64, what: &str) {
        let is_soon =
            self.begun.elapsed() < PAINT_AFTER || self.painted.is_some_and(|at| at.elapsed() < PAINT_EVERY);
        if !self.is_seen || is_soon {
            return;
        }
        self.painted = Some(Instant::now());
        let _ = write!(
            std::io::stderr().lock(),
            "\r\x1b[2K{}",
            line(done, self.total, what)
        );
    }

    /// What is waited for, where nothing can be counted.
    fn say(&mut self, what: &str) {
        self.painted = Some(Instant::now());
        let _ = write!(std::io::stderr().lock(), "{what} …");
    }

    /// So many looks at routes, with nothing printed meanwhile.
    pub(super) fn of_routes(looks: usize) -> Self {
        Self::new(u64::try_from(looks).unwrap_or(u64::MAX), true)
    }

    /// The next look at a route begins.
    pub(super) fn step(&mut self) {
        self.show(self.done, "looks at routes");
        self.done += 1;
    }

    /// Leaves the line empty for what follows.
    pub(super) fn clear(&mut self) {
        if self.painted.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Says on a terminal what is waited for, if it takes a while.
pub(super) async fn waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut bar = Bar::new(0, true);
    tokio::pin!(work);
    if bar.is_seen {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PAINT_AFTER) => bar.say(what),
        }
    }
    work.await
}

fn line(done: u64, total: u64, what: &str) -> String {
    let done = done.min(total);
    let filled = (done * WIDTH).checked_div(total).unwrap_or(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < filled { '█' } else { '░' }).collect();
    format!("{bar} {done} of {total} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up_and_never_runs_over() {
        assert!(line(0, 4, "read").starts_with('░'));
        assert_eq!(line(2, 4, "read").matches('█').count(), 12);
        assert_eq!(line(9, 4, "read").matches('█').count(), 24);
        assert!(line(0, 0, "read").ends_with("0 of 0 read"));
    }
}

//! Where the view goes: a terminal, on which the last picture is painted over, or a pipe, which gets lines.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::style::Stylize as _;
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::{QueueableCommand as _, queue};
use parking_lot::Mutex;

/// Where a terminal does not say how wide it is.
const COLUMNS: u16 = 100;

/// How a line is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Line {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

/// Log lines that wait to be shown above the picture. The oldest go when nobody shows them.
#[derive(Debug, Clone, Default)]
pub(super) struct LogLines(Arc<Mutex<VecDeque<u8>>>);

/// A screenful many times over.
const LOG_BYTES_MAX: usize = 64 * 1024;

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        waiting.extend(bytes);
        let over = waiting.len().saturating_sub(LOG_BYTES_MAX);
        waiting.drain(..over);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogLines {
    fn take(&self) -> Vec<u8> {
        self.0.lock().drain(..).collect()
    }
}

#[derive(Debug)]
pub(super) struct Screen {
    /// None when piped.
    log_lines: Option<LogLines>,
    /// Lines of the last picture.
    painted: u16,
    /// stdout is kept for a document.
    is_aside: bool,
}

impl Screen {
    pub(super) fn of_stdout() -> Self {
        Self {
            log_lines: io::stdout().is_terminal().then(LogLines::default),
            painted: 0,
            is_aside: false,
        }
    }

    /// Lines alone: stdout is kept for a document.
    pub(super) const fn of_stderr() -> Self {
        Self {
            log_lines: None,
            painted: 0,
            is_aside: true,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.log_lines.is_some()
    }

    /// What a terminal shows above the picture; a pipe leaves log lines on stderr.
    pub(super) fn log_lines(&self) -> Option<LogLines> {
        self.log_lines.clone()
    }

    /// Writes lines that stay, above the picture to come.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn print(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut out: Box<dyn io::Write> = if self.is_aside {
            Box::new(io::stderr().lock())
        } else {
            Box::new(io::stdout().lock())
        };
        self.wipe(&mut out)?;
        for line in lines {
            write_line(&mut out, line, self.is_terminal(), None)?;
        }
        out.flush()
    }

    /// Paints a picture over the last one.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn paint(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (columns, rows) = size();
        queue!(out, BeginSynchronizedUpdate, Hide)?;
        self.wipe(&mut out)?;
        // A picture higher than the terminal could not be painted over.
        let shown = lines.len().min(usize::from(rows.saturating_sub(1)));
        for line in &lines[..shown] {
            write_line(&mut out, line, true, Some(usize::from(columns)))?;
        }
        self.painted = u16::try_from(shown).unwrap_or(u16::MAX);
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// Takes the last picture away and writes what was logged meanwhile in its place.
    fn wipe(&mut self, out: &mut impl io::Write) -> io::Result<()> {
        let Some(log_lines) = &self.log_lines else {
            return Ok(());
        };
        out.queue(MoveToColumn(0))?;
        if self.painted > 0 {
            out.queue(MoveUp(self.painted))?;
        }
        out.queue(Clear(ClearType::FromCursorDown))?;
        self.painted = 0;
        out.write_all(&log_lines.take())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal() {
            let mut out = io::stdout().lock();
            let left = self.log_lines.as_ref().map(LogLines::take).unwrap_or_default();
            // The terminal may be gone: then there is no cursor to bring back.
            let _ = out.write_all(&left);
            let _ = queue!(out, Show);
            let _ = out.flush();
        }
    }
}

/// Columns and rows. Some terminals say that they have none, such as one without a window.
fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((columns @ 1.., rows @ 1..)) => (columns, rows),
        _ => (COLUMNS, u16::MAX),
    }
}

fn write_line(
    out: &mut impl io::Write,
    line: &Line,
    coloured: bool,
    columns: Option<usize>,
) -> io::Result<()> {
    // A line that wraps would be two when the picture is painted over.
    let text: String = match columns {
        Some(columns) => line.text.chars().take(columns).collect(),
        None => line.text.clone(),
    };
    match line.tone {
        Tone::Heading if coloured => writeln!(out, "{}", text.bold()),
        Tone::Good if coloured => writeln!(out, "{}", text.green()),
        Tone::Warning if coloured => writeln!(out, "{}", text.yellow()),
        Tone::Bad if coloured => writeln!(out, "{}", text.red()),
        _ => writeln!(out, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &Line, coloured: bool, columns: Option<usize>) -> String {
        let mut out = Vec::new();
        write_line(&mut out, line, coloured, columns).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_pipe_gets_whole_lines_without_colours() {
        let line = Line::new(Tone::Bad, "lost 1");
        assert_eq!(written(&line, false, None), "lost 1\n");
    }

    #[test]
    fn a_line_is_cut_where_the_terminal_would_wrap_it() {
        let line = Line::new(Tone::Plain, "ä──▶ kafka");
        assert_eq!(written(&line, true, Some(4)), "ä──▶\n");
    }

    #[test]
    fn log_lines_that_nobody_shows_do_not_pile_up() {
        let mut lines = LogLines::default();
        for _ in 0..3 {
            lines.write_all(&[b'x'; LOG_BYTES_MAX]).expect("it takes all");
        }
        lines.write_all(b"last").expect("it takes all");
        let kept = lines.take();
        assert_eq!(kept.len(), LOG_BYTES_MAX);
        assert!(kept.ends_with(b"last") && lines.take().is_empty());
    }
}

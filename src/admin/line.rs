//! A caller's line, cut when the caller takes nothing of what is written to it.
//!
//! A write that waits fails with `TimedOut` when nothing has been taken since [`TAKE_TIME_MAX`]. Whoever takes on goes on,
//! for ever: how much has to be taken until a write sees it is up to the send buffer, see [`SEND_BYTES_MAX`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Long enough for a telephone between two cells; as long as for a request's head, which a caller that sends requests
/// and reads no answer would otherwise get around.
pub(super) const TAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// What the system holds for one caller; Linux gives twice as much, for its own notes. Left to itself it grows to
/// megabytes, and tells of room when a third is free: over a slow line later than [`TAKE_TIME_MAX`].
pub(super) const SEND_BYTES_MAX: u32 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Line<T> {
    inner: T,
    /// Since a write found no room.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<T> Line<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, waits: None }
    }

    /// What a write says, unless it has waited for too long.
    fn or_cut(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(TAKE_TIME_MAX)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the caller takes nothing",
        )))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Line<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Line<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.or_cut(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.or_cut(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// A socket has nothing of its own to flush.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

//! Where a worker's records come from: a partition of the route's group, or dead letters that are sent again.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::board::Place;
use crate::error::Failure;
use crate::kafka::{ConsumedRecord, LostOffsets, PartitionStream};
use crate::routes::redrive::{Finished, Letters, Outcome};

#[derive(Debug)]
pub(super) enum Records {
    Partition(PartitionStream),
    Letters(LetterRecords),
}

/// Letters, and what has become of those that were given out.
#[derive(Debug)]
pub(super) struct LetterRecords {
    letters: Letters,
    book: Arc<LetterBook>,
}

/// What a worker tells about letters, for whoever stores the marks.
#[derive(Debug, Default)]
pub(super) struct LetterBook {
    finished: Mutex<Vec<Finished>>,
    failure: Mutex<Option<Failure>>,
    changed: Notify,
}

impl LetterBook {
    /// What was finished since the last call.
    pub(super) fn take(&self) -> Vec<Finished> {
        std::mem::take(&mut self.finished.lock())
    }

    /// Why there are no more letters, where that is no end.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().take()
    }

    /// Returns when something was finished.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl From<PartitionStream> for Records {
    fn from(stream: PartitionStream) -> Self {
        Self::Partition(stream)
    }
}

impl Records {
    pub(super) fn of_letters(letters: Letters, book: &Arc<LetterBook>) -> Self {
        Self::Letters(LetterRecords {
            letters,
            book: Arc::clone(book),
        })
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Partition(stream) => (Arc::clone(stream.topic()), stream.partition()),
            Self::Letters(_) => ("dead letters".into(), 0),
        }
    }

    /// The offset from which an earlier worker may have records in hand still.
    pub(super) fn inherited(&self) -> Option<i64> {
        match self {
            Self::Partition(stream) => stream.inherited(),
            Self::Letters(_) => None,
        }
    }

    /// The next record. Cancel-safe. None: there are no more, or the partition is taken away.
    pub(super) async fn next(&mut self) -> Option<ConsumedRecord> {
        match self {
            Self::Partition(stream) => stream.next().await,
            Self::Letters(LetterRecords { letters, book }) => match letters.next().await {
                Ok(letter) => letter.map(|letter| letter.record),
                Err(failure) => {
                    *book.failure.lock() = Some(failure);
                    None
                }
            },
        }
    }

    /// The same while others are still open: the end of the letters is then not told.
    pub(super) async fn next_while_open(&mut self) -> Option<ConsumedRecord> {
        let next = self.next().await;
        if next.is_none() && matches!(self, Self::Letters(_)) {
            std::future::pending::<()>().await;
        }
        next
    }

    pub(super) fn try_next(&mut self) -> Option<ConsumedRecord> {
        match self {
            Self::Partition(stream) => stream.try_next(),
            Self::Letters(LetterRecords { letters, .. }) => letters.try_next().map(|letter| letter.record),
        }
    }

    /// Resolves when a partition is being taken away.
    pub(super) async fn revoked(&self) {
        match self {
            Self::Partition(stream) => stream.revoked().await,
            Self::Letters(_) => std::future::pending().await,
        }
    }

    pub(super) fn is_revoked(&self) -> bool {
        match self {
            Self::Partition(stream) => stream.is_revoked(),
            Self::Letters(_) => false,
        }
    }

    pub(super) fn lost(&self) -> Option<&LostOffsets> {
        match self {
            Self::Partition(stream) => stream.lost(),
            Self::Letters(_) => None,
        }
    }

    /// Letters are marked one by one instead.
    pub(super) fn commit(&self, next_offset: i64) {
        if let Self::Partition(stream) = self {
            stream.commit(next_offset);
        }
    }

    pub(super) fn lag(&self) -> i64 {
        match self {
            Self::Partition(stream) => stream.lag(),
            Self::Letters(_) => 0,
        }
    }

    /// A record is answered, left out, or stored as a dead letter.
    pub(super) fn finished(&self, record: &ConsumedRecord, outcome: Outcome) {
        if let Self::Letters(LetterRecords { book, .. }) = self {
            book.finished.lock().push(Finished::new(record, outcome));
            book.changed.notify_one();
        }
    }
}

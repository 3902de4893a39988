//! Dead letters of a route through its own worker again: decoded, mapped and sent as they are now, under the ids of
//! their source.

use std::sync::Arc;

use super::records::{LetterBook, Records};
use super::target::Outgoing;
use super::worker::{End, Worker};
use super::{RunEnd, ToSalesforceRoute};
use crate::error::{ErrorKind, Failure};
use crate::kafka::WriteError;
use crate::routes::dead_letter::PoisonCounter;
use crate::routes::mapping::Victim;
use crate::routes::redrive::{Ended, Letter, Letters, Marker, Rehearsed, Tally};
use crate::runtime::shutdown::StopSignal;

impl ToSalesforceRoute {
    /// Sends the letters. What is answered is marked while the others are on their way: a crash in between sends
    /// again what was not marked yet.
    ///
    /// # Errors
    /// What waiting does not mend. Everything that was answered is marked, unless Kafka takes no marks.
    pub async fn redrive(
        self,
        letters: Letters,
        marker: &mut Marker,
        tally: &Tally,
        mut stop: StopSignal,
    ) -> Result<Ended, Failure> {
        let book = Arc::new(LetterBook::default());
        let Some(worker) = self.worker(letters, &book, &mut stop).await? else {
            return Ok(Ended::Stopped);
        };
        let own_writes = worker.parts.route.shared.own_writes.clone();
        let run = worker.run();
        tokio::pin!(run);
        let end = loop {
            tokio::select! {
                end = &mut run => break end,
                () = book.changed() => mark(&book, marker, tally).await?,
            }
        };
        own_writes.flush().await;
        mark(&book, marker, tally).await?;
        match (end, book.failure()) {
            (End::Failed(failure), _) | (End::Over, Some(failure)) => Err(failure),
            (End::TooManyDeadLetters, _) => Ok(Ended::TooManyDeadLetters),
            (End::Over, None) if stop.is_stopped() => Ok(Ended::Stopped),
            (End::Over, None) => Ok(Ended::Done),
        }
    }

    /// Decodes, filters and maps each letter, and sends nothing.
    ///
    /// # Errors
    /// What waiting does not mend, such as a mapping that does not fit the target.
    pub async fn rehearse(
        self,
        letters: Letters,
        mut stop: StopSignal,
        mut show: impl FnMut(&Letter, Rehearsed),
    ) -> Result<Ended, Failure> {
        let book = Arc::new(LetterBook::default());
        let Some(mut worker) = self.worker(letters, &book, &mut stop).await? else {
            return Ok(Ended::Stopped);
        };
        while let Some(record) = worker.stream.next().await {
            let letter = Letter::new(record);
            let entry = match worker.entry(&letter.record).await {
                Ok(entry) => entry,
                Err(End::Over) => return Ok(Ended::Stopped),
                Err(End::TooManyDeadLetters) => return Ok(Ended::TooManyDeadLetters),
                Err(End::Failed(failure)) => return Err(failure),
            };
            let rehearsed = match entry {
                Ok(Some(entry)) => Rehearsed::Goes(described(&entry.send)),
                Ok(None) => Rehearsed::Filtered,
                Err(refusal) => Rehearsed::Fails(refusal.reason),
            };
            show(&letter, rehearsed);
        }
        book.failure().map_or(Ok(Ended::Done), Err)
    }

    async fn worker(
        self,
        letters: Letters,
        book: &Arc<LetterBook>,
        stop: &mut StopSignal,
    ) -> Result<Option<Worker>, Failure> {
        let route = Arc::new(self);
        let max = route.config.dead_letter.max_consecutive;
        let poison = Arc::new(parking_lot::Mutex::new(PoisonCounter::new(max)));
        match Self::prepare(&route, &poison, stop).await {
            Ok(parts) => {
                let records = Records::of_letters(letters, book);
                Ok(Some(Worker::new(&Arc::new(parts), records, stop.clone())))
            }
            Err(RunEnd::Failed(failure)) => Err(failure),
            Err(RunEnd::Stopped | RunEnd::TooManyDeadLetters) => Ok(None),
        }
    }
}

async fn mark(book: &LetterBook, marker: &mut Marker, tally: &Tally) -> Result<(), Failure> {
    let finished = book.take();
    match marker.write(Vec::new(), &finished).await {
        Ok(()) => {
            for letter in finished {
                tally.count(letter.outcome);
            }
            Ok(())
        }
        Err(WriteError::Aborted(failure) | WriteError::Lost(failure)) => Err(failure),
        Err(refused @ WriteError::Refused(_)) => {
            let message = "a record of the bridge's own was refused";
            Err(Failure::new(ErrorKind::Unknown, message).caused_by(refused))
        }
    }
}

fn described(send: &Outgoing) -> String {
    match send {
        Outgoing::Event(event) => format!("an event of {} bytes, id {}", event.payload.len(), event.id),
        Outgoing::Record { body, .. } => format!("a record: {}", body.get()),
        Outgoing::Delete(Victim::ExternalId(id) | Victim::RecordId(id)) => {
            format!("the deletion of {}", id.as_sent())
        }
    }
}

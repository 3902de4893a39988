//! What was sent against what was read. Pure: ids in, a verdict out.
//!
//! The ids are those that the documentation promises for records (`ce_id`), made here from what the org says it
//! sent; the bridge is not asked. Every id is kept for the whole run, about 200 bytes a record, because the same
//! record may come a second time at any later moment.

use std::collections::HashMap;

use crate::simulator::{SentContent, SentEvent};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: HashMap<String, Sent>,
    /// The number of the latest record read of each key.
    latest: HashMap<String, u64>,
    events: u64,
    unreadable: u64,
    arrived: u64,
    doubled: u64,
    strange: u64,
    disordered: u64,
}

#[derive(Debug)]
struct Sent {
    number: u64,
    arrived: bool,
}

/// What one look at the ledger says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Events that the org sent on the routes' topics.
    pub(super) events: u64,
    /// Records that must come out of them.
    pub(super) records: u64,
    /// Records that were read at least once.
    pub(super) arrived: u64,
    /// Further copies of records.
    pub(super) doubled: u64,
    /// Records that nobody sent.
    pub(super) strange: u64,
    /// Records that came after a later one of the same key.
    pub(super) disordered: u64,
    /// Events that cannot be read, so that a dead letter must come out of them.
    pub(super) unreadable: u64,
}

impl Verdict {
    /// Sent and not read, so far.
    pub(super) const fn missing(&self) -> u64 {
        self.records - self.arrived
    }

    pub(super) const fn is_good(&self) -> bool {
        self.missing() == 0 && self.doubled == 0 && self.strange == 0 && self.disordered == 0
    }
}

impl Ledger {
    /// Events of one topic, in the order in which the org sent them.
    pub(super) fn sent(&mut self, events: Vec<SentEvent>) {
        for event in events {
            self.events += 1;
            match event.content {
                SentContent::Platform => self.owe(event.id),
                SentContent::Unreadable => self.unreadable += 1,
                SentContent::Change(change) => {
                    let prefix = format!(
                        "{}/{}/{}/{}/",
                        change.transaction_key,
                        change.sequence_number,
                        change.entity_name,
                        change.change_type
                    );
                    for record in change.record_ids {
                        self.owe(format!("{prefix}{record}"));
                    }
                }
            }
        }
    }

    fn owe(&mut self, id: String) {
        let number = self.sent.len() as u64;
        self.sent.entry(id).or_insert(Sent {
            number,
            arrived: false,
        });
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.sent.contains_key(id)
    }

    /// A record was read; `key` with its topic.
    pub(super) fn read(&mut self, id: &str, key: &str) {
        let Some(sent) = self.sent.get_mut(id) else {
            self.strange += 1;
            return;
        };
        if sent.arrived {
            self.doubled += 1;
            return;
        }
        sent.arrived = true;
        self.arrived += 1;
        match self.latest.get_mut(key) {
            Some(latest) if *latest > sent.number => self.disordered += 1,
            Some(latest) => *latest = sent.number,
            None => {
                self.latest.insert(key.to_owned(), sent.number);
            }
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict {
            events: self.events,
            records: self.sent.len() as u64,
            arrived: self.arrived,
            doubled: self.doubled,
            strange: self.strange,
            disordered: self.disordered,
            unreadable: self.unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::SentChange;

    fn update(transaction: &str, records: &[&str]) -> SentEvent {
        SentEvent {
            id: format!("event of {transaction}"),
            content: SentContent::Change(SentChange {
                transaction_key: transaction.to_owned(),
                sequence_number: 1,
                entity_name: "Account".to_owned(),
                change_type: "UPDATE".to_owned(),
                record_ids: records.iter().map(|id| (*id).to_owned()).collect(),
                ..SentChange::default()
            }),
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.sent(vec![update("t1", &["A", "B"]), update("t2", &["A"])]);
        ledger
    }

    #[test]
    fn all_records_once_and_in_order_are_good() {
        let mut ledger = ledger();
        assert_eq!(ledger.verdict().missing(), 3);
        for (id, key) in [
            ("t1/1/Account/UPDATE/A", "A"),
            ("t2/1/Account/UPDATE/A", "A"),
            ("t1/1/Account/UPDATE/B", "B"),
        ] {
            assert!(!ledger.verdict().is_good());
            ledger.read(id, key);
        }
        assert!(ledger.verdict().is_good(), "{:?}", ledger.verdict());
    }

    #[test]
    fn a_second_copy_does_not_stand_for_a_missing_record() {
        let mut ledger = ledger();
        for _ in 0..3 {
            ledger.read("t1/1/Account/UPDATE/A", "A");
        }
        let verdict = ledger.verdict();
        assert_eq!((verdict.missing(), verdict.doubled), (2, 2));
        assert!(!verdict.is_good());
    }

    #[test]
    fn an_older_record_after_a_later_one_of_its_key_is_out_of_order() {
        let mut ledger = ledger();
        ledger.read("t2/1/Account/UPDATE/A", "A");
        ledger.read("t1/1/Account/UPDATE/A", "A");
        assert_eq!(ledger.verdict().disordered, 1);
        ledger.read("t1/1/Account/UPDATE/B", "B");
        assert_eq!(ledger.verdict().disordered, 1, "another key has its own order");
    }

    #[test]
    fn a_record_that_nobody_sent_is_no_good() {
        let mut ledger = ledger();
        ledger.read("t3/1/Account/UPDATE/A", "A");
        assert_eq!(ledger.verdict().strange, 1);
        assert_eq!(ledger.verdict().arrived, 0);
    }
}

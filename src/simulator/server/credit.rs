//! What a stream is owed. Pure bookkeeping beside the loop in `subscribe`.

/// The most events a stream is owed at once; more that is asked for is not owed.
const OUTSTANDING_MAX: u32 = 100;

#[derive(Debug, Default)]
pub(super) struct Credit(u32);

impl Credit {
    /// Adds what a request asks for. `false`: the number is not valid.
    pub(super) fn request(&mut self, events: i32) -> bool {
        let Some(events) = u32::try_from(events).ok().filter(|&events| events > 0) else {
            return false;
        };
        self.0 = self.0.saturating_add(events).min(OUTSTANDING_MAX);
        true
    }

    pub(super) fn deliver(&mut self, events: usize) {
        self.0 = self.0.saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
    }

    pub(super) fn owed(&self) -> u32 {
        self.0
    }

    pub(super) fn pending(&self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_add_up_to_a_hundred_and_no_further() {
        let mut credit = Credit::default();
        assert!(credit.request(60) && credit.request(60));
        assert_eq!(credit.owed(), 100);
        credit.deliver(70);
        assert_eq!(credit.pending(), 30);
        assert!(credit.request(i32::MAX));
        assert_eq!(credit.owed(), 100);
    }

    #[test]
    fn nothing_and_less_are_no_number_of_events() {
        let mut credit = Credit::default();
        assert!(!credit.request(0) && !credit.request(-1));
        assert_eq!(credit.owed(), 0);
    }
}

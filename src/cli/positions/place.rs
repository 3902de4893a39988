//! Where a route is to go on, as a person writes it. Pure.

use bytes::Bytes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    /// As the route's `start` says.
    Start,
    /// Of a route to Kafka: with the first event after it.
    After(Bytes),
    /// Of a route to Salesforce: the next record to read, of one partition or of the only one.
    Offset {
        offset: i64,
        partition: Option<i32>,
    },
}

impl Place {
    /// # Errors
    /// What may be written, for a person.
    pub(super) fn of_salesforce(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            id => match hex::decode(id) {
                Ok(bytes) if !bytes.is_empty() => Ok(Self::After(bytes.into())),
                _ => Err(format!(
                    "{id} is no position of a route to Kafka: earliest, latest, or a replay id in hex"
                )),
            },
        }
    }

    /// # Errors
    /// What may be written, for a person.
    pub(super) fn of_kafka(text: &str) -> Result<Self, String> {
        let place = match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            _ => offset(text),
        };
        place.ok_or_else(|| {
            format!(
                "{text} is no position of a route to Salesforce: earliest, latest, or <offset>[:<partition>]"
            )
        })
    }
}

fn offset(text: &str) -> Option<Place> {
    let (offset, partition) = match text.split_once(':') {
        None => (text, None),
        Some((offset, partition)) => (offset, Some(partition.parse().ok().filter(|n| *n >= 0)?)),
    };
    let offset = offset.parse().ok().filter(|n| *n >= 0)?;
    Some(Place::Offset { offset, partition })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_nonsense_is_told_what_may_be_written() {
        assert_eq!(Place::of_salesforce("earliest"), Ok(Place::Earliest));
        let id = Place::After(Bytes::from_static(&[0, 255]));
        assert_eq!(Place::of_salesforce("00fF"), Ok(id));
        for nonsense in ["", "xyz", "123", "-1"] {
            let why = Place::of_salesforce(nonsense).unwrap_err();
            assert!(why.contains("replay id in hex"), "{why}");
        }
        let at = |offset, partition| Ok(Place::Offset { offset, partition });
        assert_eq!(Place::of_kafka("12"), at(12, None));
        assert_eq!(Place::of_kafka("12:3"), at(12, Some(3)));
        for nonsense in ["", "-1", "1:", "1:-2", "1:2:3", "end"] {
            assert!(Place::of_kafka(nonsense).is_err(), "{nonsense}");
        }
    }
}

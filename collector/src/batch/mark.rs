//! What the batcher writes into the log about itself.

use serde::{Deserialize, Serialize};

use super::names::Renamed;

/// A note in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// A batch is about to be sent.
    Batch(BatchMark),
    /// ClickHouse has everything below this sequence number.
    Stored(u64),
}

/// Which entries are a batch. Together with the log it says exactly what is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BatchMark {
    /// Its name: the token under which ClickHouse recognises it.
    pub(super) id: String,
    /// Its first entry's sequence number.
    pub(super) from: u64,
    /// The sequence number after its last entry.
    pub(super) to: u64,
    /// When it was first sent, ns since 1970.
    pub(super) formed_ns: u64,
    /// Polls left out because they were stored before: entry, and index among its polls.
    pub(super) repeats: Vec<(u64, u32)>,
    /// Rows whose names are past the bounds, before repeats were left out.
    #[serde(default)]
    pub(super) renamed: Vec<Renamed>,
}

/// How far an earlier run was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resume {
    /// Everything below this is stored.
    pub(super) stored: u64,
    /// Batches that may be stored or not, in order.
    pub(super) in_flight: Vec<BatchMark>,
}

impl Mark {
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Resume {
    /// Reads an earlier run's marks; `first` is the first sequence number that the log still has.
    pub(super) fn of<'a>(first: u64, marks: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut resume = Self { stored: first, in_flight: Vec::new() };
        for mark in marks {
            match serde_json::from_slice(mark) {
                Ok(Mark::Stored(to)) => resume.stored = resume.stored.max(to),
                // The log gives up a file once all of it is stored, and may end before it says so.
                Ok(Mark::Batch(batch)) if batch.from < first => {
                    resume.stored = resume.stored.max(batch.to);
                }
                Ok(Mark::Batch(batch)) => resume.in_flight.push(batch),
                Err(error) => tracing::error!(%error, "a mark in the log can't be read"),
            }
        }
        let stored = resume.stored;
        resume.in_flight.retain(|batch| batch.from >= stored);
        // The last of those that begin at one place is the one that was sent.
        resume.in_flight.reverse();
        resume.in_flight.dedup_by_key(|batch| batch.from);
        resume.in_flight.reverse();
        resume
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchMark, Mark, Resume};

    fn batch(from: u64, to: u64) -> BatchMark {
        let id = format!("a-{from}");
        BatchMark { id, from, to, formed_ns: 5, repeats: vec![(from, 3)], renamed: vec![] }
    }

    #[test]
    fn only_the_batch_that_was_not_stored_is_sent_again() {
        let marks = [Mark::Batch(batch(1, 5)), Mark::Stored(5), Mark::Batch(batch(5, 9))];
        let marks: Vec<Vec<u8>> = marks.iter().map(Mark::bytes).collect();
        let resume = Resume::of(1, marks.iter().map(Vec::as_slice));
        assert_eq!(resume, Resume { stored: 5, in_flight: vec![batch(5, 9)] });
        let done = Mark::Stored(9).bytes();
        let all = marks.iter().map(Vec::as_slice).chain([done.as_slice()]);
        assert_eq!(Resume::of(1, all), Resume { stored: 9, in_flight: vec![] });
    }

    #[test]
    fn all_batches_that_were_under_way_are_sent_again_in_their_order() {
        let marks = [batch(1, 5), batch(5, 7), batch(7, 9)].map(|batch| Mark::Batch(batch).bytes());
        let stored = Mark::Stored(5).bytes();
        let all = marks.iter().map(Vec::as_slice).chain([stored.as_slice()]);
        let resume = Resume::of(1, all);
        assert_eq!(resume, Resume { stored: 5, in_flight: vec![batch(5, 7), batch(7, 9)] });
    }

    #[test]
    fn a_batch_whose_first_entries_were_given_up_was_stored() {
        // The file with entries 1 to 3 was removed, and then the process ended.
        let marks = [batch(1, 5), batch(5, 9)].map(|batch| Mark::Batch(batch).bytes());
        let resume = Resume::of(4, marks.iter().map(Vec::as_slice));
        assert_eq!(resume, Resume { stored: 5, in_flight: vec![batch(5, 9)] });
    }

    #[test]
    fn without_marks_everything_that_is_left_is_sent() {
        let none: [&[u8]; 0] = [];
        assert_eq!(Resume::of(7, none.into_iter()), Resume { stored: 7, in_flight: vec![] });
    }
}

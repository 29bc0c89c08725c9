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
    /// From `from` on entries go ahead of those before. ClickHouse has all of these below `to`.
    Ahead {
        /// The first of them.
        from: u64,
        /// The sequence number after the last that is stored.
        to: u64,
    },
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
    /// What went ahead of a backlog, if anything did.
    pub(super) ahead: Option<ResumeAhead>,
}

/// How far an earlier run was with what went ahead.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ResumeAhead {
    /// Its first sequence number.
    pub(super) from: u64,
    /// From there to this everything is stored.
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
        let mut resume = Self { stored: first, ..Self::default() };
        let mut batches = Vec::new();
        for mark in marks {
            match serde_json::from_slice(mark) {
                Ok(Mark::Stored(to)) => resume.stored_below(to),
                Ok(Mark::Ahead { from, to }) => resume.went_ahead(from, to),
                // The log gives up a file once all of it is stored, and may end before it says so.
                Ok(Mark::Batch(batch)) if batch.from < first => resume.stored_below(batch.to),
                Ok(Mark::Batch(batch)) => batches.push(batch),
                Err(error) => tracing::error!(%error, "a mark in the log can't be read"),
            }
        }
        let begins = resume.ahead.as_ref().map_or(u64::MAX, |ahead| ahead.from);
        let (before, ahead) = batches.into_iter().partition(|batch| batch.from < begins);
        resume.in_flight = not_stored(before, resume.stored);
        if let Some(of) = &mut resume.ahead {
            of.in_flight = not_stored(ahead, of.stored);
        }
        resume
    }

    fn stored_below(&mut self, to: u64) {
        self.stored = self.stored.max(to);
        // The backlog was stored, and with it all that went ahead of it.
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.from <= self.stored) {
            self.stored = self.stored.max(ahead.stored);
        }
    }

    fn went_ahead(&mut self, from: u64, to: u64) {
        match &mut self.ahead {
            Some(ahead) if ahead.from == from => ahead.stored = ahead.stored.max(to),
            other => {
                // There is one at a time: the backlog of the one before was stored.
                let before = other.take().map_or(0, |ahead| ahead.stored);
                self.stored = self.stored.max(before);
                let in_flight = Vec::new();
                self.ahead = Some(ResumeAhead { from, stored: to, in_flight });
            }
        }
        self.stored_below(self.stored);
    }
}

/// Those of a lane's batches that may not be stored.
fn not_stored(mut batches: Vec<BatchMark>, stored: u64) -> Vec<BatchMark> {
    batches.retain(|batch| batch.from >= stored);
    // The last of those that begin at one place is the one that was sent.
    batches.reverse();
    batches.dedup_by_key(|batch| batch.from);
    batches.reverse();
    batches
}

#[cfg(test)]
mod tests {
    use super::{BatchMark, Mark, Resume, ResumeAhead};

    fn batch(from: u64, to: u64) -> BatchMark {
        let id = format!("a-{from}");
        BatchMark { id, from, to, formed_ns: 5, repeats: vec![(from, 3)], renamed: vec![] }
    }

    fn one_lane(stored: u64, in_flight: Vec<BatchMark>) -> Resume {
        Resume { stored, in_flight, ahead: None }
    }

    #[test]
    fn only_the_batch_that_was_not_stored_is_sent_again() {
        let marks = [Mark::Batch(batch(1, 5)), Mark::Stored(5), Mark::Batch(batch(5, 9))];
        let marks: Vec<Vec<u8>> = marks.iter().map(Mark::bytes).collect();
        let resume = Resume::of(1, marks.iter().map(Vec::as_slice));
        assert_eq!(resume, one_lane(5, vec![batch(5, 9)]));
        let done = Mark::Stored(9).bytes();
        let all = marks.iter().map(Vec::as_slice).chain([done.as_slice()]);
        assert_eq!(Resume::of(1, all), one_lane(9, vec![]));
    }

    #[test]
    fn all_batches_that_were_under_way_are_sent_again_in_their_order() {
        let marks = [batch(1, 5), batch(5, 7), batch(7, 9)].map(|batch| Mark::Batch(batch).bytes());
        let stored = Mark::Stored(5).bytes();
        let all = marks.iter().map(Vec::as_slice).chain([stored.as_slice()]);
        let resume = Resume::of(1, all);
        assert_eq!(resume, one_lane(5, vec![batch(5, 7), batch(7, 9)]));
    }

    #[test]
    fn a_batch_whose_first_entries_were_given_up_was_stored() {
        // The file with entries 1 to 3 was removed, and then the process ended.
        let marks = [batch(1, 5), batch(5, 9)].map(|batch| Mark::Batch(batch).bytes());
        let resume = Resume::of(4, marks.iter().map(Vec::as_slice));
        assert_eq!(resume, one_lane(5, vec![batch(5, 9)]));
    }

    #[test]
    fn without_marks_everything_that_is_left_is_sent() {
        let none: [&[u8]; 0] = [];
        assert_eq!(Resume::of(7, none.into_iter()), one_lane(7, vec![]));
    }

    /// A backlog up to 30, of which 1 to 9 is stored, and what went ahead of it, up to 33.
    fn with_ahead() -> Vec<Mark> {
        vec![
            Mark::Batch(batch(1, 9)),
            Mark::Batch(batch(9, 20)),
            Mark::Ahead { from: 30, to: 30 },
            Mark::Batch(batch(31, 33)),
            Mark::Stored(9),
            Mark::Ahead { from: 30, to: 33 },
            Mark::Batch(batch(20, 29)),
            Mark::Batch(batch(35, 40)),
        ]
    }

    fn resume(first: u64, marks: &[Mark]) -> Resume {
        let marks: Vec<Vec<u8>> = marks.iter().map(Mark::bytes).collect();
        Resume::of(first, marks.iter().map(Vec::as_slice))
    }

    #[test]
    fn what_went_ahead_of_a_backlog_goes_on_where_it_was() {
        let ahead = ResumeAhead { from: 30, stored: 33, in_flight: vec![batch(35, 40)] };
        let in_flight = vec![batch(9, 20), batch(20, 29)];
        let expected = Resume { stored: 9, in_flight, ahead: Some(ahead) };
        assert_eq!(resume(1, &with_ahead()), expected);
    }

    #[test]
    fn what_went_ahead_of_a_backlog_is_stored_with_it() {
        let mut marks = with_ahead();
        marks.push(Mark::Stored(29));
        assert_eq!(resume(1, &marks).ahead.map(|ahead| ahead.stored), Some(33));
        // All before is stored, whether that is told by itself, with what comes behind, or by the
        // next backlog, which has a place of its own.
        for (told, stored) in [(Mark::Stored(33), 33), (Mark::Stored(40), 40)] {
            let all = [&marks[..], &[told]].concat();
            let in_flight = if stored == 33 { vec![batch(35, 40)] } else { vec![] };
            assert_eq!(resume(1, &all), one_lane(stored, in_flight));
        }
        marks.push(Mark::Ahead { from: 50, to: 50 });
        let next = ResumeAhead { from: 50, stored: 50, in_flight: vec![] };
        let in_flight = vec![batch(35, 40)];
        assert_eq!(resume(1, &marks), Resume { stored: 33, in_flight, ahead: Some(next) });
        // The files with the backlog were removed, which is done when it is stored.
        assert_eq!(resume(32, &with_ahead()), one_lane(33, vec![batch(35, 40)]));
    }
}

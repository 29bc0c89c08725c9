//! The rows of a request by the function and the instance that they are of.

use crate::polls::Polls;

/// Rows in an order in which those of one key stand together, as they came.
pub(super) struct Grouped {
    rows: Vec<u32>,
    /// Where those of each key end.
    ends: Vec<u32>,
}

impl Grouped {
    /// The rows of one key after the other.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u32]> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let rows = &self.rows[begin as usize..*end as usize];
            begin = *end;
            rows
        })
    }
}

/// Groups the rows of a request. Those of a function that came between rows of another instance may
/// come apart.
pub(super) fn by_key(polls: &Polls) -> Grouped {
    let (origins, functions) = (&polls.columns.origin, &polls.columns.function);
    // Of each text the origin and the number of its last group.
    let mut last = vec![(u32::MAX, 0_u32); polls.texts.len()];
    let (mut of_rows, mut counts) = (Vec::with_capacity(polls.len()), Vec::<u32>::new());
    for row in 0..polls.len() {
        let (origin, function) = (origins.get(row), functions.get(row) as usize);
        let group = match last.get(function) {
            Some((of, group)) if *of == origin => *group,
            _ => {
                counts.push(0);
                u32::try_from(counts.len() - 1).unwrap_or(u32::MAX)
            }
        };
        last[function] = (origin, group);
        counts[group as usize] += 1;
        of_rows.push(group);
    }
    // Where each begins, then where it ends.
    let mut ends = counts;
    let mut all = 0;
    for count in &mut ends {
        all += std::mem::replace(count, all);
    }
    let mut rows = vec![0; polls.len()];
    for (row, group) in (0_u32..).zip(of_rows) {
        let end = &mut ends[group as usize];
        rows[*end as usize] = row;
        *end += 1;
    }
    Grouped { rows, ends }
}

//! Poll spans in ClickHouse's Native format: one block, column by column. Texts go as dictionaries,
//! as the table keeps them, so that neither side hashes each of them.
//!
//! The format is described in ClickHouse's documentation of its formats; that of dictionaries in
//! `SerializationLowCardinality.cpp`.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use holdup::contract::CAUSES;

use super::rows::time;
use crate::polls::{Column, Columns, Polls, Text};
use crate::span::Origin;

/// A dictionary's numbers follow, of all rows and of no other block.
const DICTIONARY_VERSION: u64 = 1;
const DICTIONARY_FLAGS: u64 = 0x600;

const TEXT: &str = "LowCardinality(String)";

type Write = fn(&[&Polls], &mut Vec<u8>);

/// Columns of `poll_spans`: name, type, and how their values are written.
const COLUMNS: [(&str, &str, Write); 38] = [
    ("start", "DateTime64(9, 'UTC')", |of, out| {
        fixed(of, out, |of| &of.start_ns, |ns| time(ns).to_le_bytes());
    }),
    ("duration_ns", "UInt64", |of, out| fixed(of, out, |of| &of.duration_ns, u64::to_le_bytes)),
    ("self_ns", "UInt64", |of, out| fixed(of, out, |of| &of.self_ns, u64::to_le_bytes)),
    ("cpu_ns", "UInt64", |of, out| fixed(of, out, |of| &of.cpu_ns, u64::to_le_bytes)),
    ("runqueue_ns", "UInt64", |of, out| fixed(of, out, |of| &of.runqueue_ns, u64::to_le_bytes)),
    ("threshold_ns", "UInt64", |of, out| fixed(of, out, |of| &of.threshold_ns, u64::to_le_bytes)),
    ("service", TEXT, |of, out| origins(of, out, |origin| &origin.service)),
    ("environment", TEXT, |of, out| origins(of, out, |origin| &origin.environment)),
    ("service_version", TEXT, |of, out| origins(of, out, |origin| &origin.version)),
    ("instance", TEXT, |of, out| origins(of, out, |origin| &origin.instance)),
    ("function", TEXT, |of, out| texts(of, out, |of| &of.function)),
    ("file", TEXT, |of, out| texts(of, out, |of| &of.file)),
    ("line", "UInt32", |of, out| fixed(of, out, |of| &of.line, u32::to_le_bytes)),
    ("cause", TEXT, causes),
    ("blame_function", TEXT, |of, out| texts(of, out, |of| &of.blame_function)),
    ("blame_crate", TEXT, |of, out| texts(of, out, |of| &of.blame_crate)),
    ("stack_id", "UInt64", |of, out| fixed(of, out, |of| &of.stack_id, u64::to_le_bytes)),
    ("victims", "UInt32", |of, out| fixed(of, out, |of| &of.victims, u32::to_le_bytes)),
    ("thread_id", "UInt64", |of, out| fixed(of, out, |of| &of.thread_id, u64::to_le_bytes)),
    ("thread_name", TEXT, |of, out| texts(of, out, |of| &of.thread_name)),
    ("runtime", TEXT, |of, out| texts(of, out, |of| &of.runtime)),
    ("worker", "Int32", |of, out| fixed(of, out, |of| &of.worker, i32::to_le_bytes)),
    ("task_id", "UInt64", |of, out| fixed(of, out, |of| &of.task_id, u64::to_le_bytes)),
    ("task_name", TEXT, |of, out| texts(of, out, |of| &of.task_name)),
    ("task_spawned_at", TEXT, |of, out| texts(of, out, |of| &of.task_spawned_at)),
    ("stall", "Bool", |of, out| fixed(of, out, |of| &of.stall, |is| [u8::from(is)])),
    ("trace_id", "FixedString(16)", |of, out| fixed(of, out, |of| &of.trace_id, |id| id)),
    ("span_id", "FixedString(8)", |of, out| fixed(of, out, |of| &of.span_id, |id| id)),
    ("parent_span_id", "FixedString(8)", |of, out| {
        fixed(of, out, |of| &of.parent_span_id, |id| id);
    }),
    ("scope_version", TEXT, |of, out| texts(of, out, |of| &of.scope_version)),
    ("throttled_ns", "UInt64", |of, out| fixed(of, out, |of| &of.throttled_ns, u64::to_le_bytes)),
    ("runtime_stalled", "Bool", |of, out| {
        fixed(of, out, |of| &of.runtime_stalled, |is| [u8::from(is)]);
    }),
    ("driver_idle", "Bool", |of, out| fixed(of, out, |of| &of.driver_idle, |is| [u8::from(is)])),
    ("sampled", "Bool", |of, out| fixed(of, out, |of| &of.sampled, |is| [u8::from(is)])),
    ("holder_thread_id", "UInt64", |of, out| {
        fixed(of, out, |of| &of.holder_thread_id, u64::to_le_bytes);
    }),
    ("holder_thread_name", TEXT, |of, out| texts(of, out, |of| &of.holder_thread_name)),
    ("holder_function", TEXT, |of, out| texts(of, out, |of| &of.holder_function)),
    ("holder_evidence", TEXT, |of, out| texts(of, out, |of| &of.holder_evidence)),
];

/// The parts of a block with the poll spans of these requests: a column each.
pub(super) fn block<'a>(of: &'a [&'a Polls]) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let rows: usize = of.iter().map(|polls| polls.len()).sum();
    COLUMNS.iter().enumerate().map(move |(index, (name, kind, write))| {
        let mut out = Vec::with_capacity(rows * 8 + 64);
        if index == 0 {
            varint(&mut out, COLUMNS.len());
            varint(&mut out, rows);
        }
        string(&mut out, name);
        string(&mut out, kind);
        write(of, &mut out);
        out
    })
}

fn fixed<T: Copy + PartialEq, const N: usize>(
    of: &[&Polls],
    out: &mut Vec<u8>,
    column: fn(&Columns) -> &Column<T>,
    bytes: impl Fn(T) -> [u8; N],
) {
    for polls in of {
        let column = column(&polls.columns);
        let (values, rows) = (column.values(), polls.len());
        let from = out.len();
        out.resize(from + rows * N, 0);
        let (told, usual) = out[from..].split_at_mut(values.len() * N);
        for (place, value) in told.chunks_exact_mut(N).zip(values) {
            place.copy_from_slice(&bytes(*value));
        }
        let value = bytes(column.get(rows));
        if value != [0; N] {
            usual.chunks_exact_mut(N).for_each(|place| place.copy_from_slice(&value));
        }
    }
}

/// The texts of a column, each once, and their numbers row by row.
#[derive(Default)]
struct Dictionary<'a> {
    keys: Vec<&'a str>,
    known: HashMap<&'a str, u32, RandomState>,
    rows: Vec<u32>,
}

impl<'a> Dictionary<'a> {
    fn number(&mut self, text: &'a str) -> u32 {
        *self.known.entry(text).or_insert_with(|| {
            self.keys.push(text);
            u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let number = |length: usize| u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes();
        // 1, 2 or 4 bytes a row.
        let width = match self.keys.len() {
            0..=0x100 => 0,
            0x101..=0x1_0000 => 1,
            _ => 2,
        };
        out.extend_from_slice(&DICTIONARY_VERSION.to_le_bytes());
        out.extend_from_slice(&(DICTIONARY_FLAGS | width).to_le_bytes());
        out.extend_from_slice(&number(self.keys.len()));
        self.keys.iter().for_each(|key| string(out, key));
        out.extend_from_slice(&number(self.rows.len()));
        match width {
            0 => out.extend(self.rows.iter().map(|row| row.to_le_bytes()[0])),
            1 => self.rows.iter().for_each(|row| out.extend_from_slice(&row.to_le_bytes()[..2])),
            _ => self.rows.iter().for_each(|row| out.extend_from_slice(&row.to_le_bytes())),
        }
    }
}

fn texts(of: &[&Polls], out: &mut Vec<u8>, column: fn(&Columns) -> &Column<Text>) {
    let mut dictionary = Dictionary::default();
    // Numbers here of the texts of one request.
    let mut numbers: Vec<Option<u32>> = Vec::new();
    for polls in of {
        numbers.clear();
        numbers.resize(polls.texts.len(), None);
        let values = column(&polls.columns).values();
        for text in values {
            let number = match numbers.get(*text as usize) {
                Some(Some(number)) => *number,
                _ => dictionary.number(polls.texts.get(*text)),
            };
            if let Some(place) = numbers.get_mut(*text as usize) {
                *place = Some(number);
            }
            dictionary.rows.push(number);
        }
        if values.len() < polls.len() {
            let empty = dictionary.number("");
            let rows = dictionary.rows.len() + polls.len() - values.len();
            dictionary.rows.resize(rows, empty);
        }
    }
    dictionary.write(out);
}

fn origins(of: &[&Polls], out: &mut Vec<u8>, part: fn(&Origin) -> &String) {
    let mut dictionary = Dictionary::default();
    for polls in of {
        let numbers: Vec<u32> =
            polls.origins.iter().map(|origin| dictionary.number(part(origin))).collect();
        let number = |row| numbers.get(polls.columns.origin.get(row) as usize).copied();
        let rows: Vec<Option<u32>> = (0..polls.len()).map(number).collect();
        for number in rows {
            let number = number.unwrap_or_else(|| dictionary.number(""));
            dictionary.rows.push(number);
        }
    }
    dictionary.write(out);
}

fn causes(of: &[&Polls], out: &mut Vec<u8>) {
    let mut dictionary = Dictionary { keys: CAUSES.to_vec(), ..Dictionary::default() };
    for polls in of {
        let cause = |row| u32::from(polls.columns.cause.get(row));
        dictionary.rows.extend((0..polls.len()).map(cause));
    }
    dictionary.write(out);
}

fn string(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, block};
    use crate::polls::Polls;
    use crate::span::PollSpan;
    use crate::store::catalog;

    #[test]
    fn the_statement_names_the_columns_of_the_block() {
        let statement = catalog::insertion("insert_poll_spans");
        let (_, rest) = statement.split_once('(').unwrap();
        let (names, _) = rest.split_once(')').unwrap();
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        let columns: Vec<&str> = COLUMNS.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(names, columns);
    }

    #[test]
    fn texts_of_several_requests_share_a_dictionary() {
        let of = |functions: &[&str]| -> Polls {
            let span = |function: &&str| PollSpan {
                function: (*function).to_owned(),
                ..PollSpan::default()
            };
            functions.iter().map(span).collect()
        };
        let (first, second) = (of(&["f", "g", "f"]), of(&["g", "", "h"]));
        let parts: Vec<Vec<u8>> = block(&[&first, &second]).collect();
        assert_eq!(parts[0][..2], [38, 6], "columns and rows");
        let column = parts.iter().find(|part| part[1..].starts_with(b"function")).unwrap();
        let data = &column[1 + 8 + 1 + 22..];
        let expected: &[&[u8]] = &[
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0, 6, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0, 0, 0, 0, 0],
            &[1, b'f', 1, b'g', 0, 1, b'h'],
            &[6, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 1, 2, 3],
        ];
        assert_eq!(data, expected.concat());
    }
}

//! The format of pprof: a protocol buffer, compressed.
//! <https://github.com/google/pprof/blob/main/proto/profile.proto> has its fields.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::{ExportError, Profile};

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

/// Slow polls, and their blocked time, by stack.
pub(super) fn write(profile: &Profile) -> Result<Vec<u8>, ExportError> {
    let zipped = || {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(&file(profile).encode_to_vec())?;
        out.finish()
    };
    zipped().map_err(|error: std::io::Error| ExportError::Write(error.to_string()))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn file(profile: &Profile) -> File {
    // The first string is the empty one.
    let names = ["", "polls", "count", "blocked", "nanoseconds"];
    let mut out = File {
        string_table: names.map(str::to_owned).to_vec(),
        sample_type: vec![ValueType { kind: 1, unit: 2 }, ValueType { kind: 3, unit: 4 }],
        default_sample_type: 3,
        time_nanos: signed(profile.from_ms.saturating_mul(1_000_000)),
        duration_nanos: signed(profile.to_ms.saturating_sub(profile.from_ms) * 1_000_000),
        ..File::default()
    };
    let mut ids: HashMap<&str, u64> = HashMap::new();
    for stack in profile.stacks.iter().filter(|stack| !stack.frames.is_empty()) {
        let mut location_id = Vec::with_capacity(stack.frames.len());
        // Leaf first.
        for name in stack.frames.iter().rev() {
            let next = ids.len() as u64 + 1;
            let id = *ids.entry(name).or_insert(next);
            if id == next {
                let text = signed(out.string_table.len() as u64);
                out.string_table.push(name.clone());
                out.function.push(Function { id, name: text });
                out.location.push(Location { id, line: vec![Line { function_id: id }] });
            }
            location_id.push(id);
        }
        let value = vec![signed(stack.polls), signed(stack.blocked_ns)];
        out.sample.push(Sample { location_id, value });
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{File, write};
    use crate::export::tests::profile;
    use flate2::read::GzDecoder;
    use prost::Message;

    #[test]
    fn stacks_are_leaf_first_and_names_are_there_once() {
        let mut raw = Vec::new();
        GzDecoder::new(write(&profile()).unwrap().as_slice()).read_to_end(&mut raw).unwrap();
        let file = File::decode(raw.as_slice()).unwrap();
        let name = |id: &u64| {
            let function = file.function.iter().find(|function| function.id == *id).unwrap();
            file.string_table[usize::try_from(function.name).unwrap()].as_str()
        };
        let first: Vec<&str> = file.sample[0].location_id.iter().map(name).collect();
        assert_eq!(first, ["std::thread::sleep", "shop::pay<[u8; 2]>", "main"]);
        assert_eq!(file.sample[1].value, [2, 30_000_000]);
        assert_eq!((file.location.len(), file.string_table[0].as_str()), (4, ""));
        assert_eq!((file.time_nanos, file.duration_nanos), (1_000_000_000, 60_000_000_000));
    }
}

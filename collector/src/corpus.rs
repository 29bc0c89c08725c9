//! Inputs that nobody meant: those of `collector/corpus/`, changed at random.
//!
//! A usual run of the tests takes a few thousand of each target. `HOLDUP_FUZZ_SECONDS=300 cargo test
//! --release -p holdup-collector fuzz::` takes as many as there is time for. An input that fails is
//! made smaller and put into the corpus, where every later run begins with it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestError, TestRunner};

/// Inputs of a target in a usual run, and between two looks at the clock in a long one.
const CASES: u32 = 2_000;
/// Numbers at the ends of their ranges, and what lengths and tags of protobuf are made of.
const NUMBERS: [u64; 9] =
    [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, u32::MAX as u64, i64::MAX as u64, u64::MAX];
const WORDS: [&str; 16] = [
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "\"NaN\"",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "é",
    "'''",
    "= ",
    "\n",
    "\"",
];

/// One change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Number(Index, usize, usize),
    Word(Index, usize),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Splice(Index, Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (at(), 0..NUMBERS.len(), 1..9_usize).prop_map(|(at, n, long)| Edit::Number(at, n, long)),
        (at(), 0..WORDS.len()).prop_map(|(at, word)| Edit::Word(at, word)),
        (at(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, new)| Edit::Insert(at, new)),
        (at(), 1..64_usize).prop_map(|(at, long)| Edit::Remove(at, long)),
        (at(), 1..64_usize, 1..40_usize).prop_map(|(at, long, n)| Edit::Repeat(at, long, n)),
        (at(), at(), at(), 1..200_usize)
            .prop_map(|(at, of, from, long)| Edit::Splice(at, of, from, long)),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let length = bytes.len();
        let place = |at: &Index| at.index(length + 1);
        let insert = |bytes: &mut Vec<u8>, at: usize, new: &[u8]| {
            bytes.splice(at..at, new.iter().copied());
        };
        match self {
            Self::Set(at, byte) => bytes[place(at).min(length.saturating_sub(1))..]
                .first_mut()
                .into_iter()
                .for_each(|old| *old = *byte),
            Self::Flip(at, bit) => bytes[place(at).min(length.saturating_sub(1))..]
                .first_mut()
                .into_iter()
                .for_each(|old| *old ^= 1 << bit),
            Self::Number(at, number, long) => {
                let at = place(at);
                let end = length.min(at + long);
                bytes.splice(at..end, NUMBERS[*number].to_le_bytes()[..*long].iter().copied());
            }
            Self::Word(at, word) => insert(bytes, place(at), WORDS[*word].as_bytes()),
            Self::Insert(at, new) => insert(bytes, place(at), new),
            Self::Remove(at, long) => {
                let at = place(at);
                bytes.drain(at..length.min(at + long));
            }
            Self::Repeat(at, long, times) => {
                let at = place(at);
                let part = bytes[at..length.min(at + long)].repeat(*times);
                insert(bytes, at, &part);
            }
            Self::Splice(at, of, from, long) => {
                let of = &corpus[of.index(corpus.len())];
                let from = from.index(of.len() + 1);
                insert(bytes, place(at), &of[from..of.len().min(from + long)]);
            }
        }
    }
}

/// Checks every input of a target's corpus, and as many changed ones as there is time for.
pub(crate) fn fuzz(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    corpus.iter().for_each(|input| check(input));

    let changed = |(of, edits): &(Index, Vec<Edit>)| {
        let mut bytes = corpus[of.index(corpus.len())].clone();
        edits.iter().for_each(|edit| edit.apply(&mut bytes, &corpus));
        bytes
    };
    let seconds = std::env::var("HOLDUP_FUZZ_SECONDS").ok().and_then(|n| n.parse().ok());
    let (began, time) = (Instant::now(), Duration::from_secs(seconds.unwrap_or(0)));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut inputs = corpus.len();
    loop {
        let inputs_of = (any::<Index>(), prop::collection::vec(edit(), 1..8));
        // One that has run its cases runs none again.
        let outcome = TestRunner::new(config.clone()).run(&inputs_of, |input| {
            check(&changed(&input));
            Ok(())
        });
        if let Err(TestError::Fail(reason, input)) = outcome {
            let path = folder.join(format!("found-{inputs}"));
            fs::write(&path, changed(&input)).unwrap();
            panic!("{target}: {reason}; the input is in {}", path.display());
        }
        outcome.unwrap();
        inputs += usize::try_from(CASES).unwrap();
        if began.elapsed() >= time {
            println!("{target}: {inputs} inputs in {} s", began.elapsed().as_secs());
            return;
        }
    }
}

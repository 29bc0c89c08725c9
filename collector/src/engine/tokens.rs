//! Tokens of inserts that a crash cut short.
//!
//! ClickHouse writes an insert's token before it moves the part with the rows into place. Killed in
//! between, it would take the same insert, when it comes again, for one that it has. Before it starts,
//! such tokens are taken back, in the words of its own log.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// What a table's log of tokens is in.
const FOLDER: &str = "deduplication_logs";
/// So much of a log's end is looked at. A table commits one part after the other: only the last can
/// be missing.
const TAIL_BYTES: u64 = 16 << 10;

/// Takes back the tokens of all tables below ClickHouse's folder that have no rows, and tells how
/// many these were.
pub(super) fn take_back(clickhouse: &Path) -> io::Result<usize> {
    let mut taken_back = 0;
    for group in folders(&clickhouse.join("store"))? {
        for table in folders(&group)? {
            if table.join(FOLDER).is_dir() {
                taken_back += take_back_of(&table)?;
            }
        }
    }
    Ok(taken_back)
}

fn take_back_of(table: &Path) -> io::Result<usize> {
    let mut logs: Vec<_> = fs::read_dir(table.join(FOLDER))?
        .filter_map(|entry| entry.map(|entry| numbered(entry.path())).transpose())
        .collect::<io::Result<_>>()?;
    logs.sort_unstable();
    let Some((_, newest)) = logs.last() else { return Ok(0) };
    let mut tokens = Vec::new();
    // The newest may have been begun after the last token.
    for (_, log) in logs.iter().rev().take(2).rev() {
        for line in tail(log)?.lines() {
            if let Some((is_added, token)) = Token::read(line) {
                tokens.retain(|known: &Token| known.block != token.block);
                tokens.extend(is_added.then_some(token));
            }
        }
    }
    let parts = fs::read_dir(table)?
        .map(|entry| Ok(entry?.file_name().to_str().and_then(Part::read)))
        .filter_map(io::Result::transpose)
        .collect::<io::Result<Vec<_>>>()?;
    tokens.retain(|token| !parts.iter().any(|part| part.has(&token.part)));
    let drops: String =
        tokens.iter().map(|token| format!("2\t{}\t{}\n", token.name, token.block)).collect();
    File::options().append(true).open(newest)?.write_all(drops.as_bytes())?;
    Ok(tokens.len())
}

/// A log, and its number.
fn numbered(path: PathBuf) -> Option<(u64, PathBuf)> {
    let number = path.file_stem()?.to_str()?.strip_prefix("deduplication_log_")?.parse().ok()?;
    Some((number, path))
}

/// The last whole lines of a log. What a write that failed left of one is cut off: ClickHouse would
/// read nothing that follows.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::options().read(true).write(true).open(log)?;
    let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        bytes.truncate(whole);
        file.set_len(from + whole as u64)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A token as the log has it.
struct Token {
    /// The part that it stands for,
    part: Part,
    /// its name,
    name: String,
    /// and what ClickHouse made of the token.
    block: String,
}

impl Token {
    /// One that a line is about, and whether it is added.
    fn read(line: &str) -> Option<(bool, Self)> {
        let mut fields = line.split('\t');
        let (kind, name, block) = (fields.next()?, fields.next()?, fields.next()?);
        let token =
            Self { part: Part::read(name)?, name: name.to_owned(), block: block.to_owned() };
        Some((kind == "1", token))
    }
}

/// Which inserts a part has: those of one partition with these numbers.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    partition: String,
    first: u64,
    last: u64,
}

impl Part {
    /// One by its name: `20261123_7_9_1`, where a mutation may follow.
    fn read(name: &str) -> Option<Self> {
        let fields: Vec<&str> = name.split('_').collect();
        let (4 | 5, [partition, first, last, ..]) = (fields.len(), fields.as_slice()) else {
            return None;
        };
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(Self { partition: (*partition).to_owned(), first, last })
    }

    fn has(&self, other: &Self) -> bool {
        self.partition == other.partition && self.first <= other.first && other.last <= self.last
    }
}

/// The folders in one, none if it is not there.
fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{FOLDER, TAIL_BYTES, take_back};

    /// A table with parts and logs, below a folder of ClickHouse.
    fn table(parts: &[&str], logs: &[(u32, &str)]) -> (tempfile::TempDir, PathBuf) {
        let clickhouse = tempfile::tempdir().expect("a folder");
        let table = clickhouse.path().join("store/630/630ccad9");
        let folder = table.join(FOLDER);
        fs::create_dir_all(&folder).expect("a folder");
        for part in parts {
            fs::create_dir(table.join(part)).expect("a part");
        }
        for (number, lines) in logs {
            let log = folder.join(format!("deduplication_log_{number}.txt"));
            fs::write(log, lines).expect("a log");
        }
        (clickhouse, folder)
    }

    fn log(folder: &std::path::Path, number: u32) -> String {
        let log = folder.join(format!("deduplication_log_{number}.txt"));
        fs::read_to_string(log).expect("it is there")
    }

    #[test]
    fn a_token_without_its_part_is_taken_back() {
        let lines = "1\t20261122_1_1_0\ta\n1\t20261122_2_2_0\tb\n1\t20261123_3_3_0\tc\n";
        let parts = ["20261122_1_2_1", "tmp_insert_20261123_3_3_0", "detached"];
        let (clickhouse, folder) = table(&parts, &[(1, lines)]);
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 1);
        assert_eq!(log(&folder, 1), format!("{lines}2\t20261123_3_3_0\tc\n"));
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 0, "once is enough");
    }

    #[test]
    fn the_part_of_another_partition_or_number_is_not_its_part() {
        let lines = "1\tall_5_5_0\ta\n1\tall_12_12_0\tb\n";
        let (clickhouse, folder) = table(&["other_5_5_0", "all_6_11_2_13"], &[(1, lines)]);
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 2);
        assert_eq!(log(&folder, 1), format!("{lines}2\tall_5_5_0\ta\n2\tall_12_12_0\tb\n"));
    }

    #[test]
    fn a_token_of_the_log_before_is_taken_back_in_the_newest() {
        let logs = [(9, "1\tall_1_1_0\ta\n"), (10, "1\tall_2_2_0\tb\n"), (11, "")];
        let (clickhouse, folder) = table(&[], &logs);
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 1);
        assert_eq!(log(&folder, 11), "2\tall_2_2_0\tb\n");
        assert_eq!(log(&folder, 10), logs[1].1);
    }

    #[test]
    fn what_a_failed_write_left_of_a_line_is_cut_off() {
        let (clickhouse, folder) = table(&["all_1_1_0"], &[(1, "1\tall_1_1_0\ta\n1\tall_2")]);
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 0);
        assert_eq!(log(&folder, 1), "1\tall_1_1_0\ta\n");
    }

    #[test]
    fn of_a_long_log_the_end_is_looked_at() {
        let number = usize::try_from(TAIL_BYTES).expect("it is small") / 10;
        let lines: String = (1..=number).map(|n| format!("1\tall_{n}_{n}_0\t{n}\n")).collect();
        let part = format!("all_1_{}_3", number - 1);
        let (clickhouse, folder) = table(&[&part], &[(1, &lines)]);
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 1);
        assert!(log(&folder, 1).ends_with(&format!("2\tall_{number}_{number}_0\t{number}\n")));
    }

    #[test]
    fn without_tables_there_is_nothing_to_do() {
        let clickhouse = tempfile::tempdir().expect("a folder");
        assert_eq!(take_back(clickhouse.path()).expect("it is done"), 0);
    }
}

//! CSV that a spreadsheet may open. Names come from services, and a text that begins like a formula
//! would be run as one: it gets a quote before it, as OWASP advises ("CSV Injection").

use std::mem;

use bytes::Bytes;

/// What a formula begins with, in any of the ways that a spreadsheet takes.
const BEGINNINGS: [&[u8]; 11] = [
    b"=",
    b"+",
    b"-",
    b"@",
    b"\t",
    b"\r",
    b"\n",
    // The wide ones.
    "＝".as_bytes(),
    "＋".as_bytes(),
    "－".as_bytes(),
    "＠".as_bytes(),
];

/// Where the text is that was read last.
#[derive(Clone, Debug, Default)]
enum At {
    /// Before a cell.
    #[default]
    Begin,
    /// In a cell without quotes: a number, as ClickHouse quotes all texts.
    Bare,
    /// Behind the quote that begins a text, with what may become the beginning of a formula.
    Text(Vec<u8>),
    /// Further on in a text.
    Within,
    /// Behind a quote in a text: its end, or the first of two.
    Quote,
}

/// Reads ClickHouse's CSV part by part.
#[derive(Clone, Debug, Default)]
pub(super) struct Defused {
    at: At,
}

impl Defused {
    /// The part, without formulas.
    pub(super) fn part(&mut self, part: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(part.len() + part.len() / 64 + 4);
        for byte in part {
            self.byte(*byte, &mut out);
        }
        out.into()
    }

    /// What is left at the end.
    pub(super) fn end(&mut self) -> Bytes {
        match mem::take(&mut self.at) {
            At::Text(held) => held.into(),
            _ => Bytes::new(),
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.at = match (mem::take(&mut self.at), byte) {
            (At::Text(mut held), _) => {
                held.push(byte);
                let begins = |with: &&[u8]| with.starts_with(&held);
                match BEGINNINGS.iter().find(|with| begins(with)) {
                    Some(beginning) if beginning.len() > held.len() => At::Text(held),
                    found => {
                        out.extend(found.map(|_formula| b'\''));
                        // A quote among them ends the text, or is the first of two.
                        let mut rest = Self { at: At::Within };
                        held.into_iter().for_each(|byte| rest.byte(byte, out));
                        rest.at
                    }
                }
            }
            (at, _) => {
                out.push(byte);
                match (at, byte) {
                    (At::Begin, b'"') => At::Text(Vec::new()),
                    (At::Quote, b'"') | (At::Within, 0..b'"' | b'#'..) => At::Within,
                    (At::Within, b'"') => At::Quote,
                    (_, b',' | b'\n') => At::Begin,
                    _ => At::Bare,
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Defused;

    fn defused(text: &str, part: usize) -> String {
        let mut csv = Defused::default();
        let mut out = Vec::new();
        text.as_bytes().chunks(part).for_each(|part| out.extend_from_slice(&csv.part(part)));
        out.extend_from_slice(&csv.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_that_begin_like_a_formula_get_a_quote_before_them() {
        let formulas = "\"a\",\"b\"\n\"=1+1\",\"+1\"\n-5,\"-5\"\n\"@SUM(A1)\",\"\tx\"\n\
                        \"\rx\",\"\nx\"\n\"＝1\",\"＠x\"\n\"=\"\"x\"\"\",\"=\"\n";
        let harmless = "\"a\",\"b\"\n\"'=1+1\",\"'+1\"\n-5,\"'-5\"\n\"'@SUM(A1)\",\"'\tx\"\n\
                        \"'\rx\",\"'\nx\"\n\"'＝1\",\"'＠x\"\n\"'=\"\"x\"\"\",\"'=\"\n";
        for part in [1, 2, 3, 5, 7, 1_000] {
            assert_eq!(defused(formulas, part), harmless, "in parts of {part}");
        }
    }

    #[test]
    fn all_else_is_as_it_was() {
        for text in [
            "",
            "\"",
            "\"\u{ff1a}x\",\"\u{fffd}\"\n",
            "\"\",\"\"\n1,-2.5,\\N\n",
            "\"say \"\"=1\"\"\",\"a,=b\",\"a\n=b\"\n",
            "\"\"\"=1\"\"\",\"a::b\",\"['=1']\"\n",
        ] {
            for part in [1, 2, 1_000] {
                assert_eq!(defused(text, part), text, "in parts of {part}");
            }
        }
    }
}

//! Text that replaces itself on a terminal, and is appended anywhere else.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

/// A block of text that is drawn again and again.
#[derive(Debug, Default)]
pub(crate) struct Block {
    rows: usize,
}

impl Block {
    /// Shows this text in the place of the one before.
    pub(crate) fn show(&mut self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if stdout.is_terminal() {
            if self.rows > 0 {
                // Up to where the block begins, and clear from there.
                write!(stdout, "\x1b[{}A\x1b[J", self.rows)?;
            }
            let columns = tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col));
            self.rows = rows(text, columns);
        }
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }
}

/// A line that stays.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Rows that the text takes when the terminal wraps it.
fn rows(text: &str, columns: usize) -> usize {
    text.split('\n').map(|line| line.chars().count().div_ceil(columns.max(1)).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_line_takes_several_rows() {
        assert_eq!(rows("", 10), 1);
        assert_eq!(rows("0123456789", 10), 1);
        assert_eq!(rows("0123456789a\nb\n", 10), 4);
    }
}

//! Just enough of ClickHouse's lexer to find clauses outside strings, comments and brackets.

/// A token, with its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    /// How many brackets are open around it.
    pub(crate) depth: usize,
}

/// What a token is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a bare identifier.
    Word,
    /// A string, a quoted identifier, a number.
    Literal,
    Semicolon,
    /// Anything else.
    Mark,
}

impl Token<'_> {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Iterates over the tokens of a text. It never fails: what it can't read ends it.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, position: 0, depth: 0 }
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let rest = &self.text[self.position..];
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            self.position += rest.len() - trimmed.len();
            let length = if trimmed.starts_with("--")
                || trimmed.starts_with("#!")
                || trimmed.starts_with("# ")
            {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
            } else {
                return;
            };
            self.position += length;
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space_and_comments();
        let start = self.position;
        let rest = &self.text[start..];
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            '\'' | '"' | '`' => (Kind::Literal, quoted(rest, first)),
            '$' if heredoc(rest).is_some() => (Kind::Literal, heredoc(rest).unwrap_or(1)),
            '0'..='9' => (Kind::Literal, word(rest)),
            c if c.is_alphabetic() || c == '_' => (Kind::Word, word(rest)),
            ';' => (Kind::Semicolon, 1),
            c => (Kind::Mark, c.len_utf8()),
        };
        if matches!(first, ')' | ']' | '}') {
            self.depth = self.depth.saturating_sub(1);
        }
        let depth = self.depth;
        if matches!(first, '(' | '[' | '{') {
            self.depth += 1;
        }
        self.position = start + length;
        Some(Token { kind, text: &rest[..length], start, depth })
    }
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len())
}

/// Length of a quoted text; backslash escapes, and a doubled quote does not end it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_none_or(|&(_, next)| next != quote) {
                return index + 1;
            }
            chars.next();
        }
    }
    rest.len()
}

/// Length of `$tag$ … $tag$`, if there is one here.
fn heredoc(rest: &str) -> Option<usize> {
    let tag_end = rest[1..].find('$')? + 2;
    let tag = &rest[..tag_end];
    if !tag[1..tag_end - 1].chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(rest[tag_end..].find(tag)? + 2 * tag_end)
}

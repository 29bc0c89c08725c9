//! What a request's text asks for: an insert whose data follows, or a statement, and where a
//! statement takes the clause that sends its output elsewhere.

use super::exception::{Exception, SYNTAX_ERROR, UNSUPPORTED_METHOD};
use super::lexer::{Kind, Lexer, Token};

/// An `INSERT` whose rows come with the request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InsertData {
    /// The statement up to its data, without the format.
    pub(crate) sql: String,
    pub(crate) format: String,
    /// Where the data starts in the text.
    pub(crate) data: usize,
}

/// A statement whose text is complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Without the final semicolon.
    sql: String,
    /// Where its `FORMAT` clause starts, and what it names.
    format: Option<(usize, String)>,
    /// Where its last `SETTINGS` clause outside brackets starts.
    settings: Option<usize>,
}

/// Finds the data of an insert in a text that may end in it; `None` if this is no such insert.
pub(crate) fn insert_data(text: &str) -> Result<Option<InsertData>, Exception> {
    let mut tokens = Lexer::new(text).filter(|token| token.depth == 0);
    if !tokens.next().is_some_and(|token| token.is("INSERT")) {
        return Ok(None);
    }
    let Some(into) = tokens.next().filter(|token| token.is("INTO")) else { return Ok(None) };
    let mut after_name = false;
    let mut end = into.end();
    while let Some(token) = tokens.next() {
        if token.is("SELECT") || token.is("WITH") || token.is("EXPLAIN") || token.is("WATCH") {
            return Ok(None);
        }
        if token.kind == Kind::Semicolon {
            break;
        }
        if after_name && token.is("FROM") {
            return Err(Exception::new(
                UNSUPPORTED_METHOD,
                "INSERT … FROM INFILE reads a file of the client: send its content instead",
            ));
        }
        if after_name && (token.is("VALUES") || token.is("FORMAT")) {
            let Some((format, data)) = format_and_data(text, token, &mut tokens) else {
                return Ok(None);
            };
            return Ok(Some(InsertData { sql: text[..token.start].to_owned(), format, data }));
        }
        // TABLE and FUNCTION are followed by the name; so is a dot.
        after_name = !(token.is("TABLE") || token.is("FUNCTION") || token.text == ".");
        end = token.end();
    }
    // Neither a format nor a query: rows of the Values format, if any, start after the name.
    Ok(Some(InsertData { sql: text[..end].to_owned(), format: "Values".into(), data: text.len() }))
}

fn format_and_data<'a>(
    text: &str,
    keyword: Token<'a>,
    tokens: &mut impl Iterator<Item = Token<'a>>,
) -> Option<(String, usize)> {
    if keyword.is("VALUES") {
        return Some(("Values".to_owned(), keyword.end()));
    }
    let name = tokens.next().filter(|token| token.kind == Kind::Word)?;
    // ClickHouse drops blanks after the format's name, and one line end.
    let rest = &text[name.end()..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\x0c']).len();
    let rest = &rest[blanks..];
    let line_end = ["\r\n", "\n"].iter().find(|end| rest.starts_with(**end)).map_or(0, |e| e.len());
    Some((name.text.to_owned(), name.end() + blanks + line_end))
}

impl Statement {
    /// Reads a complete text.
    pub(crate) fn parse(text: &str) -> Result<Self, Exception> {
        let tokens: Vec<Token<'_>> = Lexer::new(text).filter(|token| token.depth == 0).collect();
        let last = tokens.iter().rposition(|token| token.kind != Kind::Semicolon);
        let Some(last) = last else {
            return Err(Exception::new(SYNTAX_ERROR, "Syntax error: Empty query"));
        };
        let tokens = &tokens[..=last];
        if tokens.iter().any(|token| token.kind == Kind::Semicolon) {
            return Err(Exception::new(
                SYNTAX_ERROR,
                "Syntax error (Multi-statements are not allowed): send one statement a request",
            ));
        }
        if tokens.windows(2).any(|pair| pair[0].is("INTO") && pair[1].is("OUTFILE")) {
            return Err(Exception::new(
                UNSUPPORTED_METHOD,
                "INTO OUTFILE is not allowed: the result comes with the answer",
            ));
        }
        let sql = text[..closing_end(text, tokens[last])].to_owned();
        Ok(Self {
            sql,
            format: format_clause(tokens),
            settings: tokens.iter().rev().find(|token| token.is("SETTINGS")).map(|t| t.start),
        })
    }

    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    /// The format that the text names.
    pub(crate) fn format(&self) -> Option<&str> {
        self.format.as_ref().map(|(_, name)| name.as_str())
    }

    /// The ways of sending the output to `path`, the likeliest first. Which of them parses depends
    /// on the kind of statement; the engine's parser decides.
    pub(crate) fn sending_output_to(&self, path: &str, default_format: &str) -> Vec<String> {
        let clause = format!(" INTO OUTFILE '{path}' APPEND ");
        let at = |position: usize, format: &str| {
            let (head, tail) = self.sql.split_at(position);
            format!("{head}{clause}{format}{tail}")
        };
        let default = format!("FORMAT {default_format} ");
        let mut ways = Vec::new();
        if let Some((position, _)) = &self.format {
            ways.push(at(*position, ""));
        }
        // A comment at the end of the text would swallow the clause.
        ways.push(format!("{}\n{clause}{default}", self.sql));
        if let Some(position) = self.settings {
            ways.push(at(position, &default));
        }
        ways
    }
}

/// Where the text ends that closes with this token: brackets hide what is in them, so the last
/// token outside may be an opening one.
fn closing_end(text: &str, last: Token<'_>) -> usize {
    let end = Lexer::new(text)
        .take_while(|token| token.kind != Kind::Semicolon || token.depth > 0)
        .last()
        .map_or(0, |token| token.end());
    end.max(last.end())
}

/// `FORMAT name` at the end, or before a last `SETTINGS`.
fn format_clause(tokens: &[Token<'_>]) -> Option<(usize, String)> {
    let index = tokens.iter().rposition(|token| token.is("FORMAT"))?;
    let name = tokens.get(index + 1).filter(|token| token.kind == Kind::Word)?;
    let ends = tokens.get(index + 2).is_none_or(|token| token.is("SETTINGS"));
    // `ORDER BY format DESC` and `SELECT format` name a column.
    let previous = tokens.get(index.checked_sub(1)?)?;
    let is_column = ["BY", "SELECT", "AS", "WHERE", "AND", "OR", "NOT", "FROM", "TABLE"]
        .iter()
        .any(|keyword| previous.is(keyword))
        || (previous.kind == Kind::Mark && !matches!(previous.text, ")" | "]" | "}" | "*"));
    (ends && !is_column).then(|| (tokens[index].start, name.text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(text: &str) -> Option<(String, String, String)> {
        insert_data(text)
            .unwrap()
            .map(|insert| (insert.sql, insert.format, text[insert.data..].to_owned()))
    }

    fn parts(sql: &str, format: &str, data: &str) -> Option<(String, String, String)> {
        Some((sql.to_owned(), format.to_owned(), data.to_owned()))
    }

    #[test]
    fn inserts_are_split_before_their_data() {
        assert_eq!(
            insert("INSERT INTO t FORMAT RowBinary\n\n\x01"),
            parts("INSERT INTO t ", "RowBinary", "\n\x01")
        );
        assert_eq!(
            insert("insert into a.t (x, format) values (1, 'a')"),
            parts("insert into a.t (x, format) ", "Values", " (1, 'a')")
        );
        assert_eq!(
            insert("/* FORMAT X */ INSERT INTO `FORMAT` SETTINGS async_insert=0 FORMAT CSV 1,2"),
            parts("/* FORMAT X */ INSERT INTO `FORMAT` SETTINGS async_insert=0 ", "CSV", "1,2")
        );
        assert_eq!(
            insert("INSERT INTO TABLE FUNCTION file('x', CSV) FORMAT TSV\r\na"),
            parts("INSERT INTO TABLE FUNCTION file('x', CSV) ", "TSV", "a")
        );
        assert_eq!(insert("INSERT INTO t (a)"), parts("INSERT INTO t (a)", "Values", ""));
        assert_eq!(
            insert("INSERT INTO format FORMAT TSV\n1"),
            parts("INSERT INTO format ", "TSV", "1")
        );
    }

    #[test]
    fn inserts_from_queries_are_statements() {
        assert_eq!(insert("INSERT INTO t SELECT 1 FORMAT Values"), None);
        assert_eq!(insert("INSERT INTO t (a) WITH 1 AS x SELECT x"), None);
        assert_eq!(insert("SELECT 'INSERT INTO t VALUES'"), None);
    }

    #[test]
    fn reading_a_file_of_the_clients_is_refused() {
        assert_eq!(insert_data("INSERT INTO t FROM INFILE 'x' FORMAT CSV").unwrap_err().code, 1);
    }

    fn format(text: &str) -> Option<String> {
        Statement::parse(text).unwrap().format().map(str::to_owned)
    }

    #[test]
    fn the_format_clause_is_the_last_outside_brackets() {
        assert_eq!(format("SELECT 1 FORMAT JSON;").as_deref(), Some("JSON"));
        assert_eq!(format("SELECT 1 format JSON SETTINGS a = 1 ;;").as_deref(), Some("JSON"));
        assert_eq!(format("SELECT (1) FORMAT TSV -- FORMAT CSV").as_deref(), Some("TSV"));
        assert_eq!(format("SELECT * FORMAT TSV").as_deref(), Some("TSV"));
        assert_eq!(format("SELECT format FROM t"), None);
        assert_eq!(format("SELECT 1 ORDER BY format DESC"), None);
        assert_eq!(format("SELECT 'FORMAT X'"), None);
        assert_eq!(format("SELECT $$ FORMAT X $$"), None);
        assert_eq!(format("SELECT (SELECT 1 FORMAT X)"), None);
    }

    #[test]
    fn the_output_clause_goes_before_the_format() {
        let ways = Statement::parse("SELECT 1 FORMAT JSON SETTINGS a=1;").unwrap();
        assert_eq!(
            ways.sending_output_to("/p", "TSV")[0],
            "SELECT 1  INTO OUTFILE '/p' APPEND FORMAT JSON SETTINGS a=1"
        );
        let ways =
            Statement::parse("SHOW TABLES SETTINGS a=1").unwrap().sending_output_to("/p", "TSV");
        assert_eq!(ways[1], "SHOW TABLES  INTO OUTFILE '/p' APPEND FORMAT TSV SETTINGS a=1");
        let ways = Statement::parse("SELECT (1) -- x").unwrap().sending_output_to("/p", "TSV");
        assert_eq!(ways[0], "SELECT (1)\n INTO OUTFILE '/p' APPEND FORMAT TSV ");
    }

    #[test]
    fn what_a_server_refuses_is_refused() {
        assert_eq!(Statement::parse("SELECT 1; SELECT 2").unwrap_err().code, 62);
        assert_eq!(Statement::parse(" ; ").unwrap_err().code, 62);
        assert_eq!(Statement::parse("SELECT 1 INTO OUTFILE '/x'").unwrap_err().code, 1);
        assert!(Statement::parse("SELECT ';' || \"a;\\\";b\"").is_ok());
    }
}

//! What a rule can be evaluated with, and its author surely did not mean.

use crate::engine::{Lexer, Token, TokenKind};
use crate::rules::{Column, Kind, Rule, Sql, is_label};

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remark {
    /// The line in the rule's file.
    pub(super) line: usize,
    /// What, and what to write instead.
    pub(super) message: String,
}

/// ClickHouse's names of its own clock, and what is the same by the time of the evaluation.
const CLOCKS: [(&str, &str); 9] = [
    ("now", "{now:DateTime64(3)}"),
    ("now64", "{now:DateTime64(3)}"),
    ("nowInBlock", "{now:DateTime64(3)}"),
    ("current_timestamp", "{now:DateTime64(3)}"),
    ("UTCTimestamp", "{now:DateTime64(3)}"),
    ("today", "toDate({now:DateTime64(3)})"),
    ("curdate", "toDate({now:DateTime64(3)})"),
    ("current_date", "toDate({now:DateTime64(3)})"),
    ("yesterday", "toDate({now:DateTime64(3)}) - 1"),
];
/// Names of what is another in each row, or at each evaluation.
const CHANGING: [&str; 6] = ["trace_id", "span_id", "time", "timestamp", "duration", "age"];
const CHANGING_ENDS: [&str; 4] = ["_ns", "_ms", "_seconds", "_at"];
/// What may follow `GROUP BY`.
const AFTER_GROUP: [&str; 9] =
    ["WITH", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "SETTINGS", "UNION"];

/// The remarks on a query of a rule, given its columns.
pub(super) fn remarks(rule: &Rule, sql: &Sql, columns: &[Column]) -> Vec<Remark> {
    let mut found = clocks(sql);
    found.extend(grouped(rule, sql, columns));
    found.extend(changing(rule, sql, columns));
    found
}

/// Calls of the engine's clock.
fn clocks(sql: &Sql) -> Vec<Remark> {
    let tokens: Vec<Token<'_>> = Lexer::new(&sql.text).collect();
    let calls = tokens.windows(2).filter(|pair| pair[1].text == "(");
    let remark = |pair: &[Token<'_>]| {
        let (name, instead) = CLOCKS.into_iter().find(|(name, _)| pair[0].is(name))?;
        let message = format!(
            "`{name}()` is the clock of ClickHouse, and not the time of the evaluation, which is \
             another in tests and with `lag`: write {instead}"
        );
        Some(Remark { line: line(sql, &pair[0]), message })
    };
    calls.filter_map(remark).collect()
}

/// Columns that rows are told apart by, and alerts are not.
fn grouped(rule: &Rule, sql: &Sql, columns: &[Column]) -> Vec<Remark> {
    let outer = Lexer::new(&sql.text).filter(|token| token.depth == 0);
    let mut tokens = outer.skip_while(|token| !token.is("GROUP"));
    let (Some(_), Some(by)) = (tokens.next(), tokens.next()) else { return Vec::new() };
    if !by.is("BY") {
        return Vec::new();
    }
    let by = tokens.take_while(|token| !AFTER_GROUP.iter().any(|after| token.is(after)));
    let remark = |token: Token<'_>| {
        let named = |column: &&Column| token.kind == TokenKind::Word && column.name == token.text;
        let Column { name, kind } = columns.iter().find(named)?;
        if is_label(rule, name, *kind) {
            return None;
        }
        let instead = match kind {
            Kind::Text => format!("`any({name})`, or leave it out of `info`"),
            _ => format!(
                "`toString({name}) AS {name}` if it says which alert it is, else `max({name})`"
            ),
        };
        let message = format!(
            "rows are grouped by `{name}`, which is no label because it is {}: two that differ in \
             it alone would be one alert, and the rule fails; select {instead}",
            match kind {
                Kind::Text => "in `info`",
                Kind::Number => "a number",
                Kind::Time => "a time",
                Kind::Other => "no text",
            }
        );
        Some(Remark { line: line(sql, &token), message })
    };
    by.filter_map(remark).collect()
}

/// Labels that would make another alert of each evaluation.
fn changing(rule: &Rule, sql: &Sql, columns: &[Column]) -> Vec<Remark> {
    let changes = |name: &str| {
        CHANGING.contains(&name) || CHANGING_ENDS.iter().any(|end| name.ends_with(end))
    };
    let labels = columns.iter().filter(|column| is_label(rule, &column.name, column.kind));
    let remark = |Column { name, .. }: &Column| Remark {
        line: Lexer::new(&sql.text)
            .find(|token| token.text == name)
            .map_or(sql.line, |token| line(sql, &token)),
        message: format!(
            "column `{name}` is text, so it is a label and says which alert it is: by its name it \
             is another each time, and each time another alert would be told; put it into `info`"
        ),
    };
    labels.filter(|column| changes(&column.name)).map(remark).collect()
}

/// The line in the file of a token of the query.
fn line(sql: &Sql, token: &Token<'_>) -> usize {
    sql.line + sql.text[..token.start].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::{Remark, remarks};
    use crate::rules::{Column, Kind, Question, Rule, load_one};

    fn rule(query: &str) -> Rule {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        let query = query.replace('\n', "\n      ");
        let text = format!(
            "groups:\n- name: a\n  rules:\n  - alert: A\n    info: [cause]\n    expr: |\n      {query}\n"
        );
        std::fs::write(&path, text).unwrap();
        load_one(&path).unwrap().unwrap().remove(0)
    }

    /// The remarks on a query with these columns.
    fn on(query: &str, columns: &[(&str, Kind)]) -> Vec<Remark> {
        let rule = rule(query);
        let Question::Sql(sql) = &rule.question else { panic!("{rule:?}") };
        let column = |(name, kind): &(&str, Kind)| Column { name: (*name).into(), kind: *kind };
        remarks(&rule, sql, &columns.iter().map(column).collect::<Vec<_>>())
    }

    const COLUMNS: [(&str, Kind); 5] = [
        ("service", Kind::Text),
        ("cause", Kind::Text),
        ("code", Kind::Number),
        ("minute", Kind::Time),
        ("value", Kind::Number),
    ];

    #[test]
    fn the_engine_s_clock_is_remarked_where_it_is_called() {
        let query = "SELECT service, value FROM t\nWHERE a > {now:DateTime64(3)} -- not now()\n\
                     AND b != 'now()' AND c > NOW()\nAND d >= today() AND now > 3";
        let found = on(query, &COLUMNS);
        let lines: Vec<usize> = found.iter().map(|remark| remark.line).collect();
        assert_eq!(lines, [9, 10], "{found:#?}");
        assert!(found[0].message.contains("write {now:DateTime64(3)}"), "{found:#?}");
        assert!(found[1].message.contains("write toDate({now:DateTime64(3)})"), "{found:#?}");
    }

    #[test]
    fn rows_that_numbers_and_times_tell_apart_are_remarked() {
        let query = "SELECT service, code, minute, cause, max(v) AS value FROM\n\
                     (SELECT * FROM t GROUP BY value)\nGROUP BY service, code,\nminute, cause\n\
                     ORDER BY code";
        let found = on(query, &COLUMNS);
        let told: Vec<(usize, bool)> = found
            .iter()
            .zip(["`toString(code) AS code`", "a time", "`any(cause)`"])
            .map(|(remark, part)| (remark.line, remark.message.contains(part)))
            .collect();
        assert_eq!(told, [(9, true), (10, true), (10, true)], "{found:#?}");
        assert_eq!(on("SELECT service, max(v) AS value FROM t GROUP BY service", &COLUMNS), []);
    }

    #[test]
    fn labels_that_change_are_remarked() {
        let columns = [("trace_id", Kind::Text), ("wait_ms", Kind::Text)];
        let found = on("SELECT\n  trace_id, wait_ms, cause", &[&columns[..], &COLUMNS].concat());
        assert_eq!(found.iter().map(|remark| remark.line).collect::<Vec<_>>(), [8, 8]);
        assert!(found[1].message.contains("`wait_ms`"), "{found:#?}");
        assert_eq!(on("SELECT 1", &[("wait_ms", Kind::Number)]), []);
    }
}

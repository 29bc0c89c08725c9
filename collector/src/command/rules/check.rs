//! `holdup rules check`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::engine::Engine;
use super::remarks::remarks;
use crate::config::{self, ClickHouse, ConfigError};
use crate::rules::{Problem, Question, Rule, Sql, columns_of, load, load_one, problems_of_columns};
use crate::store::{Store, StoreError};

/// The arguments of `holdup rules check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Rule files; without any, the rules that come with holdup
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Check the SQL against this ClickHouse; without it, against an embedded engine
    #[arg(long, env = "HOLDUP_CLICKHOUSE_URL", value_name = "URL")]
    clickhouse_url: Option<String>,
    /// ClickHouse's user [default: default]
    #[arg(long, env = "HOLDUP_CLICKHOUSE_USER", value_name = "NAME")]
    clickhouse_user: Option<String>,
    /// File with the user's password
    #[arg(long, env = "HOLDUP_CLICKHOUSE_PASSWORD_FILE", value_name = "FILE")]
    clickhouse_password_file: Option<PathBuf>,
    /// Database that holds the tables [default: holdup]
    #[arg(long, env = "HOLDUP_CLICKHOUSE_DATABASE", value_name = "NAME")]
    clickhouse_database: Option<String>,
    /// The engine's library, when `holdup engine install` did not put it in its place
    #[arg(long, env = "HOLDUP_ENGINE_LIBRARY", value_name = "FILE")]
    engine_library: Option<PathBuf>,
}

pub(super) async fn run(args: CheckArgs) -> anyhow::Result<()> {
    let (rules, mut problems) = read(&args.files)?;
    for rule in &rules {
        if let Some(columns) = columns_of(rule) {
            let wrong = problems_of_columns(rule, &columns).into_iter();
            problems.extend(wrong.map(|message| at(rule, rule.origin.line, &message)));
        }
    }
    let asked: Vec<&Rule> =
        rules.iter().filter(|rule| matches!(rule.question, Question::Sql(_))).collect();
    let mut warnings = Vec::new();
    if !asked.is_empty() {
        let found = check_sql(&args, &asked).await?;
        problems.extend(found.problems);
        warnings = found.warnings;
    }
    for problem in problems.iter().chain(&warnings) {
        writeln!(std::io::stderr(), "{problem}").context("cannot write what is wrong")?;
    }
    if !problems.is_empty() {
        bail!("{} of {} rules or files are wrong", problems.len(), rules.len().max(problems.len()));
    }
    if args.strict && !warnings.is_empty() {
        bail!("there are {} warnings", warnings.len());
    }
    writeln!(std::io::stdout(), "{} rules are good", rules.len()).context("cannot write")
}

/// What a look at the SQL of rules came to.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// The rules of the files, and what is wrong with the others.
fn read(files: &[PathBuf]) -> anyhow::Result<(Vec<Rule>, Vec<Problem>)> {
    if files.is_empty() {
        return Ok((load(&[]).map_err(ConfigError::Rules)?, Vec::new()));
    }
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match load_one(file).map_err(ConfigError::Rules)? {
            Ok(parsed) => rules.extend(parsed),
            Err(wrong) => problems.extend(wrong),
        }
    }
    Ok((rules, problems))
}

async fn check_sql(args: &CheckArgs, rules: &[&Rule]) -> anyhow::Result<Found> {
    let (url, user) = (args.clickhouse_url.clone(), args.clickhouse_user.clone());
    let password_file = args.clickhouse_password_file.clone();
    let database = args.clickhouse_database.clone();
    if let ClickHouse::At(address) = config::clickhouse(url, user, password_file, database)? {
        return check_with(&Store::new(address), rules).await;
    }
    let engine = match Engine::start(args.engine_library.clone()).await {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!("the SQL is not checked: {error:#}");
            return Ok(Found::default());
        }
    };
    let store = engine.database("holdup").await?;
    let found = check_with(&store, rules).await;
    engine.stop().await;
    found
}

async fn check_with(store: &Store, rules: &[&Rule]) -> anyhow::Result<Found> {
    let Found { mut problems, mut warnings } = Found::default();
    for rule in rules {
        let Question::Sql(sql) = &rule.question else { continue };
        for sql in [sql].into_iter().chain(&rule.resolve_expr) {
            match store.describe_rule(&sql.text).await {
                Ok(columns) => {
                    let wrong = problems_of_columns(rule, &columns).into_iter();
                    problems.extend(wrong.map(|message| at(rule, sql.line, &message)));
                    warnings.extend(remarks(rule, sql, &columns).into_iter().map(|remark| {
                        let mut warning = at(rule, remark.line, &remark.message);
                        warning.message.insert_str(0, "warning: ");
                        warning
                    }));
                }
                Err(StoreError::Exception { reason, .. }) => {
                    problems.push(of_sql(rule, sql, &reason));
                }
                Err(away) => return Err(away.into()),
            }
        }
    }
    Ok(Found { problems, warnings })
}

fn at(rule: &Rule, line: usize, message: &str) -> Problem {
    let message = format!("{}: {message}", rule.name);
    Problem { file: rule.origin.file.clone(), line, message }
}

/// What ClickHouse said, at the line of the file that it speaks of.
fn of_sql(rule: &Rule, sql: &Sql, reason: &str) -> Problem {
    // The statement begins in the second line of what was sent.
    let inside = line_of(reason).map_or(0, |line| line.saturating_sub(2));
    let told = reason.split_once("DB::Exception: ").map_or(reason, |(_, told)| told);
    at(rule, sql.line + inside, told)
}

/// The line in "… (line 3, col 5): …".
fn line_of(reason: &str) -> Option<usize> {
    let (_, after) = reason.split_once("(line ")?;
    after.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn clickhouse_s_lines_are_found() {
        let said =
            "Code: 62. DB::Exception: Syntax error: failed at position 9 (FRM) (line 3, col 5)";
        assert_eq!(line_of(said), Some(3));
        assert_eq!(line_of("Unknown identifier `x`"), None);
    }
}

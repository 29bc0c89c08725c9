//! Statements over ClickHouse's HTTP interface.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::repository::root;

/// The longest that one statement may take.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(1_800);

pub(super) struct ClickHouse {
    client: reqwest::blocking::Client,
    url: String,
}

impl ClickHouse {
    pub(super) fn new(url: String) -> anyhow::Result<Self> {
        // It is on this machine: a proxy for the way out would not find it.
        let client = reqwest::blocking::Client::builder().no_proxy().timeout(STATEMENT_TIME_MAX);
        Ok(Self { client: client.build()?, url })
    }

    /// Runs a file of `queries/seed/` with numbers.
    pub(super) fn run(
        &self,
        name: &str,
        parameters: &[(&str, u64)],
        more: Option<(&str, u64)>,
    ) -> anyhow::Result<()> {
        let all: Vec<(&str, String)> =
            parameters.iter().copied().chain(more).map(|(n, v)| (n, v.to_string())).collect();
        self.file(name, &all).map(drop)
    }

    /// The answer to a file of `queries/seed/`.
    pub(super) fn file(&self, name: &str, parameters: &[(&str, String)]) -> anyhow::Result<String> {
        let path = root().join(format!("queries/seed/{name}.sql"));
        let sql = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        self.ask(&sql, parameters).with_context(|| name.to_owned())
    }

    /// The answer to a statement.
    pub(super) fn ask(&self, sql: &str, parameters: &[(&str, String)]) -> anyhow::Result<String> {
        let mut url = format!("{}/?database=holdup", self.url);
        for (name, value) in parameters {
            url.push_str(&format!("&param_{name}={}", percent(value)));
        }
        let answer = self.client.post(url).body(sql.to_owned()).send()?;
        let status = answer.status();
        let text = answer.text()?;
        if !status.is_success() {
            bail!("ClickHouse answers {status}: {}", text.trim());
        }
        Ok(text)
    }
}

/// As it may stand in a URL.
fn percent(value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    value
        .bytes()
        .map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn what_means_something_in_a_url_is_escaped() {
        assert_eq!(percent("['a b']"), "%5B%27a%20b%27%5D");
        assert_eq!(percent("1.5"), "1.5");
    }
}

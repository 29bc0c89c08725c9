//! The token that a command shows to a collector.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::Certificate;
use reqwest::blocking::{Client, RequestBuilder};

/// The token, in a file: arguments and variables are seen by others.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Bearer {
    /// File with the token that the collector asks for
    #[arg(long, env = "HOLDUP_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the authority of the collector's certificate (PEM) [default: the system's]
    #[arg(long, env = "HOLDUP_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Bearer {
    /// A client of the collector at this address.
    pub(super) fn client(&self, base: &str, patience: Duration) -> anyhow::Result<Client> {
        // The page is near: a proxy that is meant for the way out would not find it.
        let client = Client::builder().no_proxy().timeout(patience);
        let client = match &self.ca_file {
            // Without TLS no certificates are read, and none need be there.
            None if base.starts_with("http:") => client.tls_certs_only([]),
            None => client,
            Some(path) => {
                let shown = path.display();
                let pem = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
                let roots = Certificate::from_pem_bundle(&pem)
                    .with_context(|| format!("{shown} has no certificate in PEM"))?;
                client.tls_certs_only(roots)
            }
        };
        Ok(client.build()?)
    }

    /// The request with the token, if there is one.
    pub(super) fn sign(&self, request: RequestBuilder) -> anyhow::Result<RequestBuilder> {
        let Some(path) = &self.token_file else { return Ok(request) };
        let token = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the token in {}", path.display()))?;
        Ok(request.bearer_auth(token.trim()))
    }
}

//! TLS by rustls, configured for this client alone: which provider of cryptography the process has
//! is the service's own choice.

use std::sync::Arc;

use reqwest::blocking::ClientBuilder;
use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::export::variables::{Files, Named};

/// Gives the client its TLS. Without `https` it is one that trusts nobody, and nothing is read.
pub(super) fn configure(
    client: ClientBuilder,
    is_https: bool,
    files: &Files,
) -> Result<ClientBuilder, String> {
    // That of the process, if the service has chosen one.
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if is_https {
        let config = match &files.authorities {
            Some(named) => config.with_root_certificates(authorities(named)?),
            None => config.with_platform_verifier().map_err(|error| {
                format!(
                    "the system has no certificate authorities that can be used ({error}): install \
                     them, or name a file with some in OTEL_EXPORTER_OTLP_CERTIFICATE"
                )
            })?,
        };
        with_identity(config, files)?
    } else {
        config.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    Ok(client.tls_backend_preconfigured(config))
}

fn authorities(named: &Named) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(named)? {
        roots.add(certificate).map_err(|error| unusable(named, &error))?;
    }
    Ok(roots)
}

fn with_identity(
    config: ConfigBuilder<ClientConfig, WantsClientCert>,
    files: &Files,
) -> Result<ClientConfig, String> {
    match (&files.certificate, &files.key) {
        (None, None) => Ok(config.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let secret = PrivateKeyDer::from_pem_file(&key.value);
            let secret = secret.map_err(|error| unusable(key, &error))?;
            config.with_client_auth_cert(chain, secret).map_err(|error| unusable(key, &error))
        }
        (Some(Named { variable, .. }), None) => {
            Err(format!("{variable} is set, and OTEL_EXPORTER_OTLP_CLIENT_KEY is not: set both"))
        }
        (None, Some(Named { variable, .. })) => Err(format!(
            "{variable} is set, and OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not: set both"
        )),
    }
}

/// At least one.
fn certificates(named: &Named) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = |named: &Named| CertificateDer::pem_file_iter(&named.value)?.collect();
    let found: Result<Vec<_>, pem::Error> = read(named);
    let found =
        found.and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) });
    found.map_err(|error| unusable(named, &error))
}

fn unusable(named: &Named, error: &dyn std::fmt::Display) -> String {
    let Named { variable, value } = named;
    format!("{variable} is {value:?}, which can't be used: {error}; name a readable file in PEM")
}

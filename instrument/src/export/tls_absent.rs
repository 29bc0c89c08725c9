//! A build without the feature `tls`: `https` works only where the service's own features of
//! `reqwest` bring TLS.

use reqwest::blocking::ClientBuilder;

use crate::export::variables::Files;

/// Leaves the client as it is.
pub(super) fn configure(
    client: ClientBuilder,
    is_https: bool,
    files: &Files,
) -> Result<ClientBuilder, String> {
    let named = [&files.authorities, &files.certificate, &files.key].into_iter().flatten().next();
    match named.filter(|_| is_https) {
        // Sent without what was asked for, it might reach somebody else.
        Some(named) => {
            Err(format!("{} needs the feature `tls` of the crate holdup", named.variable))
        }
        None => Ok(client),
    }
}

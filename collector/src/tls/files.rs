//! The files of a certificate, its key, and the authorities of clients.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The longest of these files, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The certificate, and those between it and its authority (PEM).
    pub(crate) cert: PathBuf,
    /// Its key (PEM).
    pub(crate) key: PathBuf,
    /// Authorities of which clients have to show a certificate (PEM).
    pub(crate) client_ca: Option<PathBuf>,
}

/// Why TLS can't be spoken. No text has anything of a key in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file that can't be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path}: {reason}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

impl Files {
    /// What connections are made with.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(&self.cert)?;
        let key = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| no_pem(&self.key, &key, "private key", "PRIVATE KEY"))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(&self.cert, error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    let wrong = |error| invalid(path, format!("no authority's: {error}"));
                    roots.add(certificate).map_err(wrong)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let wrong = |error| invalid(path, format!("{error}"));
                builder.with_client_cert_verifier(verifier.map_err(wrong)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let (cert, key) = (self.cert.display(), self.key.display());
            let reason = match error {
                rustls::Error::InconsistentKeys(_) => format!(
                    "it is not the certificate of the key in {key}: give --tls-cert and --tls-key \
                     that were made together, the certificate first and its authority's after it"
                ),
                error => format!("{cert} and {key} can't be used together: {error}"),
            };
            invalid(&self.cert, reason)
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// What changes when one of them does.
    pub(super) fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let all = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let known = fs::metadata(path).ok()?;
            Some((known.modified().ok()?, known.len()))
        };
        all.into_iter().flatten().map(stamp).collect()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(no_pem(path, &text, "certificate", "CERTIFICATE")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let reason = format!("it is longer than {FILE_BYTES_MAX} bytes: is it the right file?");
        return Err(invalid(path, reason));
    }
    Ok(bytes)
}

fn invalid(path: &Path, reason: String) -> TlsError {
    TlsError::Invalid { path: path.to_owned(), reason }
}

/// What a file is that has not what it should, and where in it.
fn no_pem(path: &Path, bytes: &[u8], what: &str, label: &str) -> TlsError {
    let text = String::from_utf8_lossy(bytes);
    let mut begins = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let label = line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        Some((number, label))
    });
    let reason = match begins.next() {
        None => format!(
            "it has no {what} in PEM: that begins with -----BEGIN {label}----- (DER is made PEM by \
             `openssl x509 -inform der` or `openssl pkey -inform der`)"
        ),
        Some((line, "ENCRYPTED PRIVATE KEY")) => format!(
            "line {line}: the key has a password: `openssl pkey -in FILE` writes one without, for \
             a file that only holdup can read"
        ),
        Some((line, found)) if !found.ends_with(label) => {
            format!("line {line}: it begins a {found}, where a {what} belongs")
        }
        Some((line, _)) => format!("line {line}: the {what} that begins here is damaged"),
    };
    invalid(path, reason)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::Files;

    /// A certificate and its key.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn loaded(folder: &Path, cert: &str, key: &str, client_ca: Option<&str>) -> Result<(), String> {
        let written = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let client_ca = client_ca.map(|text| written("ca.pem", text));
        let (cert, key) = (written("cert.pem", cert), written("key.pem", key));
        let files = Files { cert, key, client_ca };
        files.load().map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn files_that_can_not_be_used_are_refused_with_what_would_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let ((cert, key), (_, other)) = (pair(), pair());
        assert_eq!(loaded(folder.path(), &cert, &key, Some(&cert)), Ok(()));
        let cut = &cert[..cert.len() - 40];
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for (cert, key, client_ca, said) in [
            ("", key.as_str(), None, "cert.pem: it has no certificate in PEM"),
            (&key, &key, None, "cert.pem: line 1: it begins a PRIVATE KEY"),
            (cut, &key, None, "cert.pem: line 1: the certificate that begins here is damaged"),
            (&cert, "x", None, "key.pem: it has no private key in PEM"),
            (&cert, &cert, None, "key.pem: line 1: it begins a CERTIFICATE"),
            (&cert, &encrypted, None, "key.pem: line 1: the key has a password"),
            (&cert, &other, None, "cert.pem: it is not the certificate of the key in"),
            (&cert, &key, Some("x"), "ca.pem: it has no certificate"),
        ] {
            let error = loaded(folder.path(), cert, key, client_ca).unwrap_err();
            assert!(error.contains(said), "{error}");
            let secret = key.lines().nth(1).unwrap_or("nothing of it");
            assert!(!error.contains(secret) && error.lines().count() == 1, "{error}");
        }
        let absent = Files { cert: "/no/cert".into(), key: "/no/key".into(), client_ca: None };
        assert!(absent.load().unwrap_err().to_string().contains("cannot read /no/cert"));
    }
}

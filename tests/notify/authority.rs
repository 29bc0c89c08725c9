//! Certificates for servers of a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdup_tests::collector::PATIENCE;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

/// An authority and a server's certificate by it.
pub(crate) struct Authority {
    pem: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new(names: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Not that of what it signs, which OpenSSL would take for signed by itself.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &ca).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they belong together");
        Self { pem: ca.pem(), issuer: ca, server: Arc::new(server) }
    }

    /// What makes a client trust it.
    pub(crate) fn pem(&self) -> String {
        self.pem.clone()
    }

    /// Another certificate by it, for localhost, and its key, as PEM.
    pub(crate) fn issued(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// The same in files of a folder.
    pub(crate) fn issued_files(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = self.issued();
        let files = ["crt", "key"].map(|extension| folder.join(format!("{name}.{extension}")));
        std::fs::write(&files[0], cert).expect("written");
        std::fs::write(&files[1], key).expect("written");
        let [cert, key] = files;
        (cert, key)
    }

    /// A client that trusts it.
    pub(crate) fn client(&self) -> reqwest::blocking::Client {
        self.builder().build().expect("a client")
    }

    /// One that shows a certificate (PEM, with its key).
    pub(crate) fn client_showing(&self, pair: &(String, String)) -> reqwest::blocking::Client {
        let pem = format!("{}{}", pair.0, pair.1);
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity");
        self.builder().identity(identity).build().expect("a client")
    }

    fn builder(&self) -> reqwest::blocking::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).expect("a certificate");
        reqwest::blocking::Client::builder().tls_certs_only([root]).timeout(PATIENCE)
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

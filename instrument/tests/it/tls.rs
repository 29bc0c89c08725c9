//! `https`, against a receiver that speaks TLS by rustls.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::environment;
use crate::receiver::Receiver;
use crate::session::names;

/// An authority, and in its folder `ca.pem`, `server.pem`, `client.pem` and their keys.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A receiver that asks for a certificate of this authority if it is to know its clients.
    fn receiver(&self, knows_clients: bool) -> Receiver {
        let read = |name: &str| CertificateDer::from_pem_file(Path::new(&self.file(name))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if knows_clients {
            let mut roots = RootCertStore::empty();
            roots.add(read("ca.pem")).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        Receiver::start_tls(config.with_single_cert(vec![read("server.pem")], key).unwrap())
    }
}

/// What a service that reports to this receiver says on stderr.
fn run(receiver: &Receiver, variables: &[(&str, &str)]) -> String {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str());
    environment::process(&[&[endpoint], variables].concat())
}

fn warnings(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("WARN")).collect()
}

#[test]
fn a_receiver_with_a_certificate_of_ones_own_authority_is_trusted() {
    let authority = Authority::new();
    let receiver = authority.receiver(false);
    let ca = authority.file("ca.pem");
    let stderr = run(&receiver, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca)]);
    assert_eq!(names(&receiver.polls()), ["it::fifteen", "it::thirty"], "{stderr}");
    assert_eq!(receiver.histograms("it::thirty")[0].count, 1, "metrics come the same way");
    assert!(warnings(&stderr).is_empty(), "{stderr}");
}

#[test]
fn one_of_another_authority_is_not_and_that_is_said_once() {
    let receiver = Authority::new().receiver(false);
    let other = Authority::new();
    let stderr = run(&receiver, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &other.file("ca.pem"))]);
    assert!(receiver.polls().is_empty());
    let [warning] = &warnings(&stderr)[..] else { panic!("{stderr}") };
    assert!(warning.contains("invalid peer certificate"), "{warning}");
    assert!(warning.contains(&receiver.url), "{warning}");
}

#[test]
fn a_receiver_that_asks_who_is_there_is_shown_a_certificate() {
    let authority = Authority::new();
    let receiver = authority.receiver(true);
    let [ca, client, key] = ["ca.pem", "client.pem", "client.key"].map(|n| authority.file(n));
    let trust = ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str());
    let shown = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", client.as_str());
    let stderr = run(&receiver, &[trust]);
    assert!(receiver.polls().is_empty());
    assert_eq!(warnings(&stderr).len(), 1, "{stderr}");
    let stderr = run(&receiver, &[trust, shown, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key)]);
    assert_eq!(receiver.polls().len(), 2, "{stderr}");
    let stderr = run(&receiver, &[trust, shown]);
    assert!(warnings(&stderr)[0].contains("OTEL_EXPORTER_OTLP_CLIENT_KEY is not"), "{stderr}");
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let authority = Authority::new();
    let receiver = authority.receiver(false);
    for file in ["none.pem", "client.key"] {
        let file = authority.file(file);
        let stderr = run(&receiver, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &file)]);
        let [warning] = &warnings(&stderr)[..] else { panic!("{stderr}") };
        assert!(warning.contains("OTEL_EXPORTER_OTLP_CERTIFICATE is"), "{warning}");
        assert!(warning.contains(&file), "{warning}");
    }
}

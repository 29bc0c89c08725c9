//! The ports of the demo, looked at before anything is built.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;

/// Ports on loopback; 0 is any free one.
#[derive(Debug)]
pub(crate) struct Ports {
    grpc: u16,
    http: u16,
    page: u16,
    demo: u16,
}

impl Ports {
    pub(crate) fn any() -> Self {
        Self { grpc: 0, http: 0, page: 0, demo: 0 }
    }

    /// The usual ports, when all of them are free.
    pub(crate) fn usual() -> anyhow::Result<Self> {
        let ports = Self { grpc: 4317, http: 4318, page: 4380, demo: 4390 };
        check(ports.grpc, "OTLP over gRPC")?;
        check(ports.http, "OTLP over HTTP")?;
        check(ports.page, "the page")?;
        check(ports.demo, "the demo service")?;
        Ok(ports)
    }

    pub(crate) fn grpc(&self) -> String {
        address(self.grpc)
    }

    pub(crate) fn http(&self) -> String {
        address(self.http)
    }

    pub(crate) fn page(&self) -> String {
        address(self.page)
    }

    pub(crate) fn demo(&self) -> String {
        address(self.demo)
    }
}

fn address(port: u16) -> String {
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

fn check(port: u16, what: &str) -> anyhow::Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} ({what}) is in use: end what listens there (`ss -ltnp sport = :{port}`), \
             or run `cargo xtask demo --free-ports`"
        ),
        Err(error) => bail!("cannot listen on port {port} ({what}): {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check(port, "the page").unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        assert!(error.starts_with(&format!("port {port} (the page) is in use")), "{error}");
        assert!(error.contains("--free-ports"), "{error}");
    }
}

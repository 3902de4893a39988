//! A certificate authority that nobody else knows.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

#[derive(Debug)]
pub struct Authority {
    /// Its own certificate.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Both in PEM.
#[derive(Debug)]
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut itself = CertificateParams::new(Vec::new()).unwrap();
        itself.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            pem: itself.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(itself, key),
        }
    }

    /// A certificate for the server at this name or address.
    pub fn sign(&self, host: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec![host.to_owned()]).unwrap();
        // With its issuer's name it would look as if it had signed itself.
        server.distinguished_name.push(DnType::CommonName, "a server");
        Signed {
            certificate: server.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

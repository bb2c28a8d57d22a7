//! A certificate authority for test servers.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa,
    KeyPair,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::crypto::ring::sign::any_ecdsa_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ConfigBuilder, RootCertStore, WantsVerifier};

use super::der::{version_1, with_public_key};

/// An authority, and the file with its certificate.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        // Each authority has a unique name, like real authorities.
        let folder = tempfile::tempdir().unwrap();
        params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server with a certificate for these names, and that certificate in DER form.
    pub fn server(&self, names: &[&str]) -> (TlsAcceptor, Vec<u8>) {
        let (certificate, secret) = self.sign(names);
        let config = versions().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], secret).unwrap();
        (TlsAcceptor::from(Arc::new(config)), certificate.der().to_vec())
    }

    /// A server that accepts only clients with a certificate from this authority.
    pub fn strict_server(&self, names: &[&str]) -> TlsAcceptor {
        let (certificate, secret) = self.sign(names);
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let config = versions().with_client_cert_verifier(verifier);
        let config = config.with_single_cert(vec![certificate.der().clone()], secret).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client's certificate and private key, as files.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.folder.path().join("client.pem"), self.folder.path().join("client.key"));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    fn sign(&self, names: &[&str]) -> (Certificate, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
    }
}

/// A server whose certificate is signed by itself, and the file with that certificate.
pub struct SelfSigned {
    pub acceptor: TlsAcceptor,
    der: CertificateDer<'static>,
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl SelfSigned {
    /// The server's certificate is like those of `openssl req -x509`, the command in Mesos' documentation. Such certificates
    /// are marked as certificate authorities (CA). `change` changes the certificate's contents before it is signed.
    pub fn with(common_name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), issuer.pem()).unwrap();
        let der = issuer.der().clone();
        SelfSigned { acceptor: showing(der.clone(), &secret), der, issuer, folder }
    }

    /// The same subject and key with a certificate of X.509 version 1, as `openssl x509 -req -signkey` makes it.
    pub fn of_version_1(self) -> Self {
        let der = version_1(&self.der, self.issuer.key());
        self.with_der(der)
    }

    /// The certificate with another public key, in DER form as base64. The server still has the private key of the first one.
    pub fn with_public_key(self, public_key: &str) -> Self {
        let public_key = BASE64_STANDARD.decode(public_key).unwrap();
        let der = with_public_key(&self.der, &public_key, self.issuer.key());
        self.with_der(der)
    }

    fn with_der(self, der: Vec<u8>) -> Self {
        let text = BASE64_STANDARD.encode(&der);
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(self.file(), text).unwrap();
        Self { der: der.into(), ..self }
    }

    /// A server with a certificate for these names, signed with the key of this certificate.
    pub fn signs_for(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone(), self.der.clone()];
        TlsAcceptor::from(Arc::new(versions().with_no_client_auth().with_single_cert(chain, secret).unwrap()))
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// A server that shows this certificate without having its key.
    pub fn with_another_key(&self) -> TlsAcceptor {
        let secret = PrivatePkcs8KeyDer::from(KeyPair::generate().unwrap().serialize_der());
        showing(self.der.clone(), &PrivateKeyDer::Pkcs8(secret))
    }

    pub fn der(&self) -> &[u8] {
        self.issuer.der()
    }
}

fn versions() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions().unwrap()
}

/// A server that shows this certificate, whatever is in it.
fn showing(certificate: CertificateDer<'static>, secret: &PrivateKeyDer<'static>) -> TlsAcceptor {
    #[derive(Debug)]
    struct Always(Arc<CertifiedKey>);
    impl ResolvesServerCert for Always {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let shown = CertifiedKey::new(vec![certificate], any_ecdsa_type(secret).unwrap());
    let resolver = Arc::new(Always(Arc::new(shown)));
    TlsAcceptor::from(Arc::new(versions().with_no_client_auth().with_cert_resolver(resolver)))
}

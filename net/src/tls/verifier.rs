//! Which servers are trusted: those whose certificate is in the user's file, and those with a certificate from an authority.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::Certificate;
use super::explain::{signed_by_no_authority, untrusted};

/// The certificates to trust.
pub(super) struct Trusted {
    /// Authorities that may sign the certificates of servers.
    pub authorities: RootCertStore,
    /// Certificates that the user has given. A server that shows one of them is trusted.
    pub given: Vec<CertificateDer<'static>>,
    /// The first given certificate whose key our TLS library does not support, and why, as part of a sentence. A server with such
    /// a key ends the handshake before it shows its certificate.
    pub unsupported_key: Option<String>,
}

impl Trusted {
    /// Trusts the certificates that the user has given. Only authorities are also trusted to sign other certificates.
    /// Otherwise, the key of one server could sign a certificate for any other server.
    ///
    /// # Errors
    /// If a certificate is malformed.
    pub fn given(given: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut authorities = RootCertStore::empty();
        let mut unsupported_key = None;
        for der in &given {
            let certificate = Certificate::parse(der).ok_or(CertificateError::BadEncoding)?;
            let unsupported = certificate.key_problem.map(|why| format!("{}: {why}", certificate.subject));
            unsupported_key = unsupported_key.or(unsupported);
            if certificate.may_sign {
                authorities.add(der.clone())?;
            }
        }
        Ok(Self { authorities, given, unsupported_key })
    }
}

/// Accepts a server whose certificate is one of `given`, or comes from one of the authorities. Either way, the certificate must
/// be valid now and for the host, and the server must have the certificate's key.
///
/// The authorities alone are not enough. A server may show a self-signed certificate with `CA:TRUE`, as `openssl req -x509` makes
/// it. [`WebPkiServerVerifier`] never accepts such a certificate for a server.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    given: Vec<CertificateDer<'static>>,
    /// `None` without an authority.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// A verifier that trusts these certificates. `None` if there is no certificate, or if the TLS library refuses an authority.
    pub fn new(Trusted { authorities, given, .. }: Trusted, provider: Arc<CryptoProvider>) -> Option<Self> {
        let algorithms = provider.signature_verification_algorithms;
        let authorities = match authorities.is_empty() {
            true if given.is_empty() => return None,
            true => None,
            false => {
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider);
                Some(builder.build().ok()?)
            }
        };
        Some(Self { given, authorities, algorithms })
    }

    /// Explains why a certificate is not accepted for this host.
    fn explained(&self, error: Error, der: &CertificateDer<'_>, host: &ServerName<'_>) -> Error {
        match error {
            // If the server also shows the issuer's certificate, the error is `Other`.
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)) => {
                self.signed_by_given(der)
            }
            _ => None,
        }
        .unwrap_or_else(|| untrusted(error, der, false, host))
    }

    /// Returns an error if the issuer of the server's certificate is in `given`, but is no authority. Otherwise, returns `None`.
    fn signed_by_given(&self, der: &CertificateDer<'_>) -> Option<Error> {
        let server = Certificate::parse(der).filter(|server| !server.is_self_signed)?;
        let mut given = self.given.iter().filter_map(|der| Certificate::parse(der));
        let issuer = given.find(|given| !given.may_sign && given.subject == server.issuer)?;
        Some(signed_by_no_authority(&server, &issuer))
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.given.contains(end_entity) {
            return verify_given(end_entity, server_name, now)
                .map_err(|error| untrusted(error, end_entity, true, server_name));
        }
        let verified = match &self.authorities {
            None => Err(CertificateError::UnknownIssuer.into()),
            Some(authorities) => {
                authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        };
        verified.map_err(|error| self.explained(error, end_entity, server_name))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks the dates and the names of a certificate. The issuer does not matter, because the user has given this very certificate.
fn verify_given(
    end_entity: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let certificate = Certificate::parse(end_entity).ok_or(CertificateError::BadEncoding)?;
    let (not_before, not_after) = certificate.validity;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > not_after {
        return Err(CertificateError::Expired.into());
    }
    // The library would refuse such a key only after the handshake, with an error that does not say why.
    if certificate.unsupported.is_some() {
        return Err(CertificateError::BadSignature.into());
    }
    let parsed = ParsedCertificate::try_from(end_entity)?;
    match verify_server_name(&parsed, server_name) {
        Err(_) if certificate.has_common_name(server_name) => {}
        checked => checked?,
    }
    Ok(ServerCertVerified::assertion())
}

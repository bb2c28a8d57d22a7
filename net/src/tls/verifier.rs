//! Which servers are trusted: those whose certificate is in the user's file, and those with a certificate from an authority.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::Certificate;
use super::explain::untrusted;

/// Accepts a server whose certificate is one of `given`, or comes from one of the authorities. Either way, the certificate must
/// be valid now and for the host, and the server must have the certificate's key.
///
/// The authorities alone are not enough: a certificate that signs itself and says of itself that it is an authority's
/// (`CA:TRUE`, as `openssl req -x509` makes it) is never valid for a server by the rules of the Web.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    given: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl ServerVerifier {
    /// A verifier that trusts these certificates: `authorities` as authorities, `given` also as servers. `None` if there is no
    /// authority.
    pub fn new(
        given: Vec<CertificateDer<'static>>,
        authorities: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Option<Self> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider);
        builder.build().ok().map(|authorities| Self { given, authorities })
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
        let verified = if self.given.contains(end_entity) {
            verify_given(end_entity, server_name, now)
        } else {
            self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        verified.map_err(|error| untrusted(error, end_entity, server_name))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Checks the dates and the names of a certificate that the user has given, so that its issuer does not matter.
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
    let parsed = ParsedCertificate::try_from(end_entity)?;
    match verify_server_name(&parsed, server_name) {
        Err(_) if certificate.has_common_name(server_name) => {}
        checked => checked?,
    }
    Ok(ServerCertVerified::assertion())
}

//! The errors of TLS in plain words, with what to do. The library's own texts show the names of its Rust types.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, OtherError};

use super::certificate::Certificate;
use super::failure::{ClientCertificate, Failure};

/// Why a server's certificate is not accepted.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Untrusted(pub String);

impl Untrusted {
    /// Wraps this error in an error of the TLS library. The library returns that error, and [`plain`] unwraps it.
    pub fn into_tls_error(self) -> rustls::Error {
        CertificateError::Other(OtherError(Arc::new(self))).into()
    }
}

/// Explains why a certificate is not accepted for this host. `given` says whether this very certificate is in the CA file.
pub(super) fn untrusted(
    error: rustls::Error,
    der: &CertificateDer<'_>,
    given: bool,
    host: &ServerName<'_>,
) -> rustls::Error {
    let rustls::Error::InvalidCertificate(error) = error else { return error };
    let text = match Certificate::parse(der) {
        Some(certificate) => problem(&error, &certificate, given, host),
        None => format!("the server's certificate is malformed; {}", make_another(host)),
    };
    Untrusted(text).into_tls_error()
}

/// Explains why a server's certificate is not accepted although its issuer is in the CA file: the issuer is not an authority.
pub(super) fn signed_by_no_authority(server: &Certificate, issuer: &Certificate) -> rustls::Error {
    Untrusted(format!(
        "the CA file has the certificate ({}) that has signed the server's certificate ({}), but it is not that of an authority \
         (CA:TRUE, and keyCertSign if it has a key usage), so it is accepted only from the server that shows it itself; make the authority's certificate again with \
         `-addext basicConstraints=critical,CA:TRUE`, or give the server's certificate as the CA file",
        issuer.subject, server.subject
    ))
    .into_tls_error()
}

fn problem(
    error: &CertificateError,
    certificate: &Certificate,
    given: bool,
    host: &ServerName<'_>,
) -> String {
    let Certificate { subject, issuer, .. } = certificate;
    let (not_before, not_after) = &certificate.validity_text;
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate ({subject}) expired on {not_after}; renew it there")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "the server's certificate ({subject}) is not valid before {not_before}; check this machine's clock"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the server's certificate is for {}, not for {}; use a name that is in the certificate, or {}",
            certificate.names(),
            host.to_str(),
            make_another(host)
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
            "the server's certificate ({subject}) is not for servers, by its extended key usage; {}",
            make_another(host)
        ),
        _ if !certificate.is_version_3 => {
            format!("the server's certificate ({subject}) is not of version 3; {}", make_another(host))
        }
        _ if certificate.unsupported.is_some() => format!(
            "the server's certificate ({subject}) cannot be used here: {}; {}",
            certificate.unsupported.as_deref().unwrap_or_default(),
            make_another(host)
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_)
            if certificate.is_self_signed && !given =>
        {
            format!(
                "the server's certificate ({subject}) is signed by itself and is not one of the trusted ones; give the CA file \
             that contains this very certificate, or pin its fingerprint"
            )
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "no trusted authority has signed the server's certificate ({subject}, signed by {issuer}); give the CA that has \
             signed it as a CA file, or pin the certificate's fingerprint"
        ),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "the server's certificate ({subject}) is signed in a way that is not supported; {}",
            make_another(host)
        ),
        _ if certificate.is_authority && !given => format!(
            "the server's certificate ({subject}) is that of an authority (CA:TRUE), which is accepted only if it is itself \
             in the CA file; put it there, or {}",
            make_another(host)
        ),
        other => format!(
            "the server's certificate ({subject}) is not acceptable ({}); {}",
            match other {
                CertificateError::Other(OtherError(why)) => words(why),
                other => words(other),
            },
            make_another(host)
        ),
    }
}

/// How to make a certificate that every client accepts for this host.
fn make_another(host: &ServerName<'_>) -> String {
    let kind = if matches!(host, ServerName::IpAddress(_)) { "IP" } else { "DNS" };
    let host = host.to_str();
    format!(
        "make one with `openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out cert.pem -subj /CN={host} \
         -addext subjectAltName={kind}:{host} -addext basicConstraints=critical,CA:FALSE` for the server, and give cert.pem \
         as the CA file"
    )
}

/// What a failed handshake depends on.
pub(super) struct Handshake<'a> {
    pub client: &'a ClientCertificate,
    /// See [`Trusted::unsupported_key`](super::verifier::Trusted::unsupported_key).
    pub unsupported_key: Option<&'a str>,
    pub host: &'a ServerName<'a>,
}

/// The error of a failed handshake in plain words.
pub(super) fn plain(error: io::Error, handshake: &Handshake<'_>) -> io::Error {
    let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    if closed.contains(&error.kind()) {
        let text = "the server ended the connection instead of agreeing on TLS; does it speak TLS on this port? If not, write http:// or \
             stratum+tcp://";
        return io::Error::new(error.kind(), text);
    }
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (cause, handshake.unsupported_key) {
        (Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)), Some(key)) => {
            let text = format!(
                "the server refuses the connection (handshake failure), perhaps because of the certificate in the CA file ({key}); {}",
                make_another(handshake.host)
            );
            io::Error::new(error.kind(), Failure::Refused(text))
        }
        _ => broken(error, handshake.client),
    }
}

/// The error of a connection, in plain words if it is one of TLS.
pub(super) fn broken(error: io::Error, client: &ClientCertificate) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(cause) => {
            let text = tls_problem(cause, client);
            let refused =
                matches!(cause, rustls::Error::AlertReceived(alert) if meaning(*alert) != Meaning::Other);
            let failure = if refused { Failure::Refused(text) } else { Failure::Broken(text) };
            io::Error::new(error.kind(), failure)
        }
        // The library's own text is an address of its documentation.
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the server broke the connection off without an end in TLS")
        }
        None => error,
    }
}

fn tls_problem(error: &rustls::Error, client: &ClientCertificate) -> String {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) if why.is::<Untrusted>() => {
            why.to_string()
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the server does not prove that it has the private key of its certificate; check its certificate and key".to_owned()
        }
        Error::InvalidCertificate(error) => format!("the server's certificate is refused: {}", words(error)),
        Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::PeerSentOversizedRecord => {
            "what answers does not look like TLS: try the address without TLS (http:// or stratum+tcp://), or another port"
                .to_owned()
        }
        Error::AlertReceived(alert) => alert_text(*alert, client),
        Error::PeerIncompatible(why) => format!(
            "the server and this program have no version or cipher of TLS in common ({}); TLS 1.2 and 1.3 are spoken here",
            words(why)
        ),
        Error::General(text) => text.clone(),
        Error::Other(OtherError(why)) => why.to_string(),
        other => format!("the server does not follow the rules of TLS ({})", words(other)),
    }
}

/// What an alert says about this client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    CertificateWanted,
    CertificateNotAccepted,
    NothingInCommon,
    Other,
}

fn meaning(alert: AlertDescription) -> Meaning {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => Meaning::CertificateWanted,
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => Meaning::CertificateNotAccepted,
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity => Meaning::NothingInCommon,
        _ => Meaning::Other,
    }
}

/// An alert of the server, by its name in the standard (RFC 8446, section 6.2).
fn alert_text(alert: AlertDescription, client: &ClientCertificate) -> String {
    let advice = match meaning(alert) {
        Meaning::CertificateWanted => client.wanted(),
        Meaning::CertificateNotAccepted => client.not_accepted(),
        Meaning::NothingInCommon => format!(
            "it has no version, cipher or kind of key of TLS in common with this program (TLS 1.2 and 1.3; RSA, P-256, P-384 or \
             Ed25519), or {}",
            client.not_accepted()
        ),
        Meaning::Other if alert == AlertDescription::UnrecognisedName => {
            "it does not know this host name: use the name in its certificate".to_owned()
        }
        Meaning::Other => "its log may say why".to_owned(),
    };
    format!("the server refuses the connection ({}); {advice}", words(alert))
}

/// What is wrong with the client's certificate or key, or with the certificate of an authority.
pub(super) fn file_problem(error: &rustls::Error) -> String {
    use rustls::Error;
    match error {
        Error::InconsistentKeys(_) => "the private key belongs to another certificate".to_owned(),
        Error::InvalidCertificate(_) => "it contains a malformed certificate".to_owned(),
        Error::General(text) => text.clone(),
        other => words(other),
    }
}

/// What is wrong with a PEM file, as the end of a sentence.
pub(super) fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            ": a section has no end, so the file is incomplete".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            ": a section does not begin as it must, so the file is damaged".to_owned()
        }
        pem::Error::Base64Decode(_) => ": a section is not base64, so the file is damaged".to_owned(),
        pem::Error::Io(error) => format!(": {error}"),
        pem::Error::NoItemsFound => String::new(),
        other => format!(": {}", words(other)),
    }
}

/// The debug output of a value as lower-case words: `HandshakeFailure` becomes `handshake failure`.
fn words(value: impl Debug) -> String {
    let text = format!("{value:?}");
    let mut words = String::new();
    let mut before = ' ';
    for c in text.chars().filter(|c| !c.is_control()).take(200) {
        let c = if c.is_alphanumeric() { c } else { ' ' };
        if c.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        if c != ' ' || before != ' ' {
            words.extend(c.to_lowercase());
        }
        before = c;
    }
    words.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::{Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

    use super::*;

    #[test]
    fn names_of_rust_become_words() {
        assert_eq!(words(AlertDescription::HandshakeFailure), "handshake failure");
        let nested = CertificateError::Other(OtherError(Arc::new(Untrusted("x".to_owned()))));
        assert_eq!(words(nested), "other other error untrusted x");
    }

    #[test]
    fn no_text_of_a_failed_handshake_shows_rust() {
        for error in [
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::InvalidMaxEarlyDataSize),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
            Error::DecryptError,
            Error::General("plain".to_owned()),
        ] {
            let text = tls_problem(&error, &ClientCertificate::Unsupported);
            let rust =
                |word: &str| word.chars().skip(1).any(char::is_uppercase) && !["TLS", "RSA"].contains(&word);
            assert!(!text.split(|c: char| !c.is_alphanumeric()).any(rust), "{text}");
            assert!(
                !text.contains("::") && !text.contains('{') && !text.contains("unexpected error"),
                "{text}"
            );
        }
    }
}

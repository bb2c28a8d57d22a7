//! What a server's certificate says about itself.

use std::net::IpAddr;

use tokio_rustls::rustls::pki_types::ServerName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{X509Name, X509Version};

use super::supported::{extension_problem, key_problem};

/// The longest text of a certificate that an error shows, in characters.
const SHOWN: usize = 200;

/// A server's certificate, with the parts that decide whether to accept it, or that explain why not.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The subject, such as `CN=master.example`.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// The names and IP addresses in the extension `subjectAltName`; `None` without this extension.
    pub alternative_names: Option<Vec<String>>,
    /// The common names of the subject.
    pub common_names: Vec<String>,
    /// The first and the last second at which the certificate is valid, in seconds since 1970.
    pub validity: (i64, i64),
    /// `validity` as text.
    pub validity_text: (String, String),
    /// Whether it is the certificate of an authority (`CA:TRUE`).
    pub is_authority: bool,
    /// Whether the certificate may sign others.
    pub may_sign: bool,
    /// Whether the certificate names its own subject as its issuer.
    pub is_self_signed: bool,
    /// Why our TLS library cannot use its key, as part of a sentence; `None` if it can.
    pub key_problem: Option<String>,
    /// `key_problem`, or another property that our TLS library does not support.
    pub unsupported: Option<String>,
    /// Whether its version is 3, the only one that may have extensions.
    pub is_version_3: bool,
}

impl Certificate {
    /// Parses a certificate in DER form; `None` if it is malformed.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let names = parsed.subject_alternative_name().ok()?;
        let key_problem = key_problem(parsed.public_key());
        Some(Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            alternative_names: names.map(|names| alternative_names(&names.value.general_names)),
            common_names: parsed
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok())
                .map(str::to_owned)
                .collect(),
            validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            validity_text: (validity.not_before.to_string(), validity.not_after.to_string()),
            is_authority: parsed.is_ca(),
            may_sign: may_sign(&parsed)?,
            is_self_signed: is_self_signed(&parsed),
            unsupported: key_problem.clone().or_else(|| extension_problem(&parsed)),
            key_problem,
            is_version_3: parsed.version() == X509Version::V3,
        })
    }

    /// Whether the certificate has no `subjectAltName`, but has the host's name as its common name. RFC 2818, section 3.1,
    /// accepts this, and so does curl.
    pub fn has_common_name(&self, host: &ServerName<'_>) -> bool {
        let host = host.to_str();
        let first_label_removed = host.split_once('.').map(|(_, domain)| domain);
        let is_it = |name: &String| match name.strip_prefix("*.") {
            Some(domain) => first_label_removed.is_some_and(|host| host.eq_ignore_ascii_case(domain)),
            None => name.eq_ignore_ascii_case(&host),
        };
        self.alternative_names.is_none() && self.common_names.iter().any(is_it)
    }

    /// The names for which the certificate is valid, as text.
    pub fn names(&self) -> String {
        let names = self.alternative_names.as_ref().unwrap_or(&self.common_names);
        if names.is_empty() { "no host".to_owned() } else { printable(&names.join(", ")) }
    }
}

/// Whether a certificate may sign others, by the rules of OpenSSL, so that each authority that other programs accept is accepted
/// here too. `None` if an extension is malformed.
///
/// - `keyUsage`, if present, must include `keyCertSign`.
/// - `basicConstraints` decides if it is present. Otherwise, `keyUsage` is enough.
/// - A certificate of version 1 has no extensions. It may sign if it is signed by itself, like the root of an old authority.
fn may_sign(certificate: &X509Certificate<'_>) -> Option<bool> {
    let usage = certificate.key_usage().ok()?.map(|usage| usage.value.key_cert_sign());
    let constraints = certificate.basic_constraints().ok()?.map(|constraints| constraints.value.ca);
    Some(match (constraints, usage) {
        (_, Some(false)) => false,
        (Some(is_authority), _) => is_authority,
        (None, Some(true)) => true,
        (None, None) => certificate.version() == X509Version::V1 && is_self_signed(certificate),
    })
}

fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

fn alternative_names(names: &[GeneralName<'_>]) -> Vec<String> {
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    };
    names.iter().filter_map(text).collect()
}

fn name(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

/// The beginning of a text from a peer, without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;

    fn certificate(common_name: &str, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::parse(der.der()).unwrap()
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names() {
        let host = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
        for (common_name, names, name, matches) in [
            ("master", [].as_slice(), "master", true),
            ("MASTER", &[], "master", true),
            ("127.0.0.1", &[], "127.0.0.1", true),
            ("*.example.org", &[], "a.example.org", true),
            ("*.example.org", &[], "a.b.example.org", false),
            ("*.example.org", &[], "example.org", false),
            ("master", &["other"], "master", false),
            ("master", &[], "other", false),
        ] {
            let certificate = certificate(common_name, names);
            assert_eq!(certificate.has_common_name(&host(name)), matches, "{common_name} {name}");
        }
    }

    #[test]
    fn key_usage_alone_makes_an_authority_but_never_against_the_basic_constraints() {
        use KeyUsagePurpose::{CrlSign, KeyCertSign};
        let authority = IsCa::Ca(BasicConstraints::Unconstrained);
        for (is_ca, usages, expected) in [
            (authority, vec![], true),
            (authority, vec![KeyCertSign], true),
            (authority, vec![CrlSign], false),
            (IsCa::ExplicitNoCa, vec![], false),
            (IsCa::ExplicitNoCa, vec![KeyCertSign], false),
            (IsCa::NoCa, vec![KeyCertSign], true),
            (IsCa::NoCa, vec![CrlSign], false),
            (IsCa::NoCa, vec![], false),
        ] {
            let text = format!("{is_ca:?} {usages:?}");
            let mut params = CertificateParams::default();
            (params.is_ca, params.key_usages) = (is_ca, usages);
            let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(Certificate::parse(der.der()).unwrap().may_sign, expected, "{text}");
        }
    }

    #[test]
    fn names_are_shown_without_control_characters() {
        assert_eq!(certificate("a\nb", &[]).names(), "ab");
        assert_eq!(certificate("x", &["localhost", "127.0.0.1", "::1"]).names(), "localhost, 127.0.0.1, ::1");
        assert!(Certificate::parse(b"no certificate").is_none());
    }
}

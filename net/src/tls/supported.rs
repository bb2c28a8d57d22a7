//! What keeps our TLS library from using a certificate. The library's own errors do not say it.

use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The kinds of keys that the library verifies.
const KEYS: &str = "RSA with 2048 to 8192 bits, P-256, P-384 and Ed25519";
/// The extensions that the library reads: `keyUsage`, `subjectAltName`, `basicConstraints`, `nameConstraints`,
/// `cRLDistributionPoints` and `extKeyUsage` (RFC 5280, section 4.2.1).
const EXTENSIONS: [&str; 6] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];

/// Why the library cannot use a key, as part of a sentence; `None` if it can.
pub(super) fn key_problem(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let oid = key.algorithm.algorithm.to_id_string();
    let kind = match oid.as_str() {
        "1.2.840.113549.1.1.1" => match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if (2048..=8192).contains(&rsa.key_size()) => return None,
            Ok(PublicKey::RSA(rsa)) => format!("RSA with {} bits", rsa.key_size()),
            _ => "RSA, but malformed".to_owned(),
        },
        "1.2.840.10045.2.1" => {
            let parameters = key.algorithm.parameters.as_ref();
            let curve = parameters.and_then(|curve| curve.as_oid().ok()).map(|curve| curve.to_id_string());
            match curve.as_deref() {
                Some("1.2.840.10045.3.1.7" | "1.3.132.0.34") => return None,
                Some("1.3.132.0.35") => "P-521".to_owned(),
                Some(curve) => format!("of the elliptic curve {curve}"),
                None => "of an elliptic curve without a name".to_owned(),
            }
        }
        "1.3.101.112" => return None,
        "1.3.101.113" => "Ed448".to_owned(),
        "1.2.840.113549.1.1.10" => "RSA only for signatures of the kind PSS".to_owned(),
        other => format!("of the kind {other}"),
    };
    Some(format!("its key is {kind}, and only {KEYS} are supported"))
}

/// The first extension that is marked as critical and that the library does not know, as part of a sentence.
pub(super) fn extension_problem(certificate: &X509Certificate<'_>) -> Option<String> {
    let critical = certificate.extensions().iter().filter(|extension| extension.critical);
    let unknown = critical
        .map(|extension| extension.oid.to_id_string())
        .find(|oid| !EXTENSIONS.contains(&oid.as_str()))?;
    let name = match unknown.as_str() {
        "2.5.29.32" => "certificatePolicies",
        "2.5.29.33" => "policyMappings",
        "2.5.29.36" => "policyConstraints",
        "2.5.29.54" => "inhibitAnyPolicy",
        other => other,
    };
    Some(format!("its extension {name} is marked as critical, and is not supported"))
}

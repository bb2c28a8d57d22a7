//! Decides whether a host belongs to the same pool as another, for `client.reconnect`.

use std::net::IpAddr;

/// Whether `other` belongs to the same pool as `host`: the same name, or a name under the same registered domain.
/// `eu.pool.com` and `us.pool.com` belong together; `pool.com` and `other.com` do not, nor do `pool.co.uk` and
/// `other.co.uk`. There is no list of public suffixes, so the check is stricter than necessary for some countries. An IP
/// address belongs only to itself.
pub(crate) fn same_domain(host: &str, other: &str) -> bool {
    let [host, other] = [host, other].map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    if host == other {
        return true;
    }
    if [&host, &other].iter().any(|name| name.parse::<IpAddr>().is_ok()) {
        return false;
    }
    let domain = registered_domain(&host);
    !domain.is_empty()
        && (other == domain
            || other.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1))
}

/// The registered domain of a host name: its last two labels, or three under a suffix like `co.uk`. Empty for a single
/// label.
fn registered_domain(host: &str) -> &str {
    let mut starts = host.rmatch_indices('.').map(|(dot, _)| dot + 1);
    let (Some(top), second) = (starts.next(), starts.next()) else {
        return "";
    };
    let label = host.get(second.unwrap_or(0)..top - 1).unwrap_or_default();
    let is_suffix = host.len() - top == 2 && SECOND_LEVEL_SUFFIXES.contains(&label);
    let start = match (is_suffix, second) {
        (true, Some(_)) => starts.next().unwrap_or(0),
        // A suffix alone is not a registered domain.
        (true, None) => return "",
        (false, _) => second.unwrap_or(0),
    };
    host.get(start..).unwrap_or_default()
}

/// Second-level labels under which country registries register names.
const SECOND_LEVEL_SUFFIXES: &[&str] =
    &["ac", "co", "com", "edu", "gob", "gov", "gv", "ltd", "ne", "net", "nom", "or", "org", "plc", "web"];

#[cfg(test)]
mod tests {
    use super::same_domain;

    #[test]
    fn names_under_one_domain_belong_to_one_pool() {
        for (host, other) in [
            ("pool.com", "POOL.com."),
            ("eu.pool.com", "us.pool.com"),
            ("eu.pool.com", "pool.com"),
            ("pool.com", "a.b.pool.com"),
            ("a.b.pool.com", "c.pool.com"),
            ("eu.pool.co.uk", "us.pool.co.uk"),
            ("localhost", "localhost"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert!(same_domain(host, other), "{host} {other}");
        }
    }

    #[test]
    fn other_names_are_foreign() {
        for (host, other) in [
            ("pool.com", "evil.com"),
            ("pool.com", "evilpool.com"),
            ("pool.com", ".pool.com"),
            ("pool.com", "pool.com.evil.org"),
            ("pool.co.uk", "evil.co.uk"),
            ("co.uk", "evil.co.uk"),
            ("localhost", ""),
            ("localhost", "evil"),
            ("localhost", "evil.localhost"),
            ("10.0.0.1", "9.0.0.1"),
            ("10.0.0.1", "evil.0.1"),
            ("pool.com", "::1"),
            ("pool.com", ""),
            ("", "pool.com"),
            (".", ".com"),
        ] {
            assert!(!same_domain(host, other), "{host} {other}");
        }
    }
}

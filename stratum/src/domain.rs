//! Decides whether a host belongs to the same pool as another, for `client.reconnect`.

use std::net::IpAddr;

/// Whether `other` belongs to the same pool as `host`: it is the same name, or a name under the same registered domain.
/// `eu.pool.com` and `us.pool.com` belong together; `pool.com` and `other.com` do not, nor do `pool.co.uk` and
/// `other.co.uk`. The check uses no list of public suffixes, so it is stricter than necessary for some countries. An IP
/// address matches only itself.
pub(crate) fn same_domain(host: &str, other: &str) -> bool {
    let [host, other] = [host, other].map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    if host == other {
        return true;
    }
    if [&host, &other].iter().any(|name| name.parse::<IpAddr>().is_ok()) {
        return false;
    }
    registered_domain(&host).is_some_and(|domain| {
        let rest = other.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.') && rest.len() > 1)
    })
}

/// The registered domain of a host name: its last two labels, or three under a suffix like `co.uk`. `None` if the name has
/// fewer labels.
fn registered_domain(host: &str) -> Option<&str> {
    let labels: Vec<&str> = host.rsplit('.').collect();
    let count = match labels[..] {
        [top, second, ..] if top.len() == 2 && SECOND_LEVEL_SUFFIXES.contains(&second) => 3,
        _ => 2,
    };
    let (first, domain) = (labels.get(count - 1)?, labels.get(..count)?);
    let len = domain.iter().map(|label| label.len() + 1).sum::<usize>() - 1;
    host.get(host.len() - len..).filter(|_| !first.is_empty())
}

/// Second-level labels under which country registries register names, such as `co` in `co.uk`.
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

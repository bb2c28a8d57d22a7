//! Addresses to listen on, on a command line.

use std::net::SocketAddr;

/// Reads an address to listen on: numbers, since a name may stand for several addresses.
///
/// # Errors
/// If the text is none.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no address to listen on: write ADDRESS:PORT, such as 127.0.0.1:8080, [::1]:8080, or \
             0.0.0.0:8080 for all of this machine's IPv4 addresses"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_none_is_told_how_they_look() {
        for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:65535"] {
            assert_eq!(listen_address(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "nowhere", "localhost:80", ":8080", "8080", "::1:80", "1.2.3.4", "1.2.3.4:65536"] {
            let error = listen_address(text).unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is no")) && error.contains("127.0.0.1:8080"),
                "{error}"
            );
        }
    }
}

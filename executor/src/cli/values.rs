//! Parsers for the values of options.

use std::num::NonZeroUsize;

use command_line::UsageError;
use hasher::{Backend, BackendError};
use stratum::{PoolUrl, PoolUrlError};

use crate::engine::cpus::{Affinity, MAX_THREADS};

/// The value of `--backend` that selects the fastest backend.
pub(super) const AUTO: &str = "auto";

/// The address of a pool, optionally with user and password, in the form that cpuminer accepts. `Debug` omits user and password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct PoolAddress {
    /// The address.
    pub url: PoolUrl,
    /// User and password from the address. The password may be missing.
    #[debug(skip)]
    pub user: Option<(String, Option<String>)>,
}

impl From<PoolUrl> for PoolAddress {
    fn from(url: PoolUrl) -> Self {
        PoolAddress { url, user: None }
    }
}

/// Parses `[SCHEME://][USER[:PASSWORD]@]HOST:PORT`. Errors do not repeat a password.
pub(super) fn pool_address(text: &str) -> Result<PoolAddress, String> {
    let (scheme, rest) = match text.trim().split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text.trim()),
    };
    let (user, address) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((user, address)) => {
            let (user, password) =
                user.split_once(':').map_or((user, None), |(u, p)| (u, Some(p.to_owned())));
            (Some((user.to_owned(), password)), address)
        }
    };
    match format!("{scheme}{address}").parse() {
        Ok(url) => Ok(PoolAddress { url, user }),
        Err(error @ PoolUrlError::Scheme { .. }) if scheme.to_ascii_lowercase().starts_with("http") => {
            Err(format!("{error}; to mine on a Bitcoin node, give --bitcoind URL --address ADDRESS"))
        }
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn userpass(text: &str) -> Result<(String, String), &'static str> {
    let (user, pass) = text.split_once(':').ok_or("it has no colon; write USER:PASS")?;
    Ok((user.to_owned(), pass.to_owned()))
}

pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<usize>().map(NonZeroUsize::new) {
        Ok(None) => Err("0 threads cannot mine; leave -t out for the default".into()),
        Ok(Some(threads)) if threads.get() > MAX_THREADS => Err(format!("at most {MAX_THREADS} threads")),
        Ok(Some(threads)) => Ok(threads),
        Err(_) => Err("not a whole number of at least 1".into()),
    }
}

pub(super) fn backend(text: &str) -> Result<String, String> {
    if text != AUTO {
        Backend::named(text).map_err(|error| error.to_string())?;
    }
    Ok(text.into())
}

/// Checks the name of a backend that will run on another machine, whose CPU is unknown here.
///
/// # Errors
/// [`UsageError`] if no backend has this name.
pub fn known_backend(name: Option<&str>) -> anyhow::Result<()> {
    match name.map(Backend::named) {
        Some(Err(error @ BackendError::Unknown { .. })) => {
            Err(UsageError(format!("--backend: {error}")).into())
        }
        _ => Ok(()),
    }
}

/// Parses the value of `--cpu-affinity`: a list of cores; or a mask as cpuminer knows it, where -1 is all cores.
pub(super) fn affinity(text: &str) -> Result<Affinity, String> {
    if text == "-1" {
        return Ok(Affinity::Any);
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => mask(digits)
            .ok_or_else(|| format!("{text} is not a mask; write one such as 0xd, for cores 0, 2 and 3"))?,
        None => core_list(text).map(Affinity::Cores),
    }
}

/// Reads a mask of any number of hexadecimal digits; `None` if it has other characters.
fn mask(digits: &str) -> Option<Result<Affinity, String>> {
    let values: Option<Vec<u32>> = digits.chars().rev().map(|digit| digit.to_digit(16)).collect();
    let values = values.filter(|values| !values.is_empty())?;
    // cpuminer's -1 in 64 bits or more.
    if values.len() >= 16 && values.iter().all(|value| *value == 0xf) {
        return Some(Ok(Affinity::Any));
    }
    let bits = values.iter().enumerate().flat_map(|(place, value)| {
        (0..4).filter(move |bit| value >> bit & 1 == 1).map(move |bit| place * 4 + bit)
    });
    let cores: Vec<usize> = bits.take_while(|core| *core < MAX_THREADS).collect();
    Some(if cores.is_empty() { Err("it names no core".into()) } else { Ok(Affinity::Mask(cores)) })
}

fn core_list(text: &str) -> Result<Vec<usize>, String> {
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(core) if core < MAX_THREADS => Ok(core),
        _ => Err(format!("{text:?} is not a core number; write a list such as 0,2-3, or a mask such as 0xd")),
    };
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = number(first)?..=number(last)?;
        if range.is_empty() {
            return Err(format!("the range {part:?} ends before it starts"));
        }
        cores.extend(range);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_user_and_password() {
        let read = |text: &str| pool_address(text).map(|address| (address.url.to_string(), address.user));
        let user = |user: &str, password: Option<&str>| Some((user.to_owned(), password.map(str::to_owned)));
        let plain = "stratum+tcp://h:1".to_owned();
        assert_eq!(read("h:1"), Ok((plain.clone(), None)));
        assert_eq!(
            read("stratum+tcp://me.rig:p@ss:w@h:1"),
            Ok((plain.clone(), user("me.rig", Some("p@ss:w"))))
        );
        assert_eq!(read(" me@h:1 "), Ok((plain, user("me", None))));
        assert_eq!(
            read("stratum+ssl://me:x@[::1]:443"),
            Ok(("stratum+ssl://[::1]:443".into(), user("me", Some("x"))))
        );
        assert!(!format!("{:?}", pool_address("me:s3cret@h:1")).contains("s3cret"));
        let error = read("http://me:s3cret@h:8332").unwrap_err();
        assert!(
            error.contains("--bitcoind") && error.contains("h:8332") && !error.contains("s3cret"),
            "{error}"
        );
        let error = read("stratum+tcp://me:s3cret@h").unwrap_err();
        assert!(error.contains("no port") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_backend_for_another_machine_need_not_run_here() {
        assert!(known_backend(None).is_ok());
        assert!(Backend::names().all(|name| known_backend(Some(name)).is_ok()));
        let error = known_backend(Some("abacus")).unwrap_err();
        assert!(error.is::<UsageError>() && error.to_string().contains("abacus"), "{error}");
    }

    #[test]
    fn cores_in_lists_and_masks() {
        assert_eq!(affinity("0,2-3"), Ok(Affinity::Cores(vec![0, 2, 3])));
        assert_eq!(affinity("0xd"), Ok(Affinity::Mask(vec![0, 2, 3])));
        assert_eq!(affinity("0X10000000000000000"), Ok(Affinity::Mask(vec![64])));
        assert!(affinity("0,3-1").is_err_and(|error| error.contains("3-1")));
        assert!(affinity("0x").is_err_and(|error| error.contains("not a mask")));
    }

    #[test]
    fn minus_one_and_ones_alone_mean_all_cores() {
        for text in ["-1".to_owned(), format!("0x{}", "F".repeat(16)), format!("0x{}", "f".repeat(5000))] {
            assert_eq!(affinity(&text), Ok(Affinity::Any), "{text}");
        }
        // A shorter mask names its cores; those that the machine does not have are left out later.
        assert_eq!(affinity("0xFFFF"), Ok(Affinity::Mask((0..16).collect())));
    }
}

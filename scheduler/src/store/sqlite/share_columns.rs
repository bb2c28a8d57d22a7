//! The single shares of a report as one value, stored column by column because neighbouring shares differ little. A share takes
//! some 25 bytes, while a separate row would take 150.

use std::time::Duration;

use prost::Message;
use task::{ShareRow, Verdict};

/// The columns of the shares, encoded as a protobuf message. A field number must never change, because databases contain this
/// format.
#[derive(Clone, PartialEq, Message)]
struct Columns {
    /// The job ids: one for each run of consecutive shares with the same job.
    #[prost(string, repeated, tag = "1")]
    jobs: Vec<String>,
    /// The number of consecutive shares that belong to each job in `jobs`.
    #[prost(uint64, repeated, tag = "2")]
    runs: Vec<u64>,
    /// The extranonce2 of each share, concatenated; `extranonce2_sizes` has their lengths.
    #[prost(bytes = "vec", tag = "3")]
    extranonce2: Vec<u8>,
    #[prost(uint64, repeated, tag = "4")]
    extranonce2_sizes: Vec<u64>,
    /// Each share's ntime minus that of the previous share (minus 0 for the first share), modulo 2^32.
    #[prost(sint32, repeated, tag = "5")]
    ntimes: Vec<i32>,
    /// Each share's version XOR that of the previous share (XOR 0 for the first share).
    #[prost(uint32, repeated, tag = "6")]
    versions: Vec<u32>,
    #[prost(fixed32, repeated, tag = "7")]
    nonces: Vec<u32>,
    #[prost(double, repeated, tag = "8")]
    difficulties: Vec<f64>,
    /// Each share's verdict as [`verdict_code`] encodes it; empty if all shares are accepted.
    #[prost(uint64, repeated, tag = "9")]
    verdicts: Vec<u64>,
    #[prost(uint64, repeated, tag = "10")]
    round_trips_us: Vec<u64>,
}

const ACCEPTED: u64 = 0;
const STALE: u64 = 1;
const UNANSWERED: u64 = 2;
/// The code of a rejected share is this number plus the Stratum error code.
const REJECTED: u64 = 16;

fn verdict_code(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Accepted => ACCEPTED,
        Verdict::Stale => STALE,
        Verdict::Unanswered => UNANSWERED,
        Verdict::Rejected(code) => u64::from(code) + REJECTED,
    }
}

fn verdict(code: u64) -> Option<Verdict> {
    Some(match code {
        ACCEPTED => Verdict::Accepted,
        STALE => Verdict::Stale,
        UNANSWERED => Verdict::Unanswered,
        code => Verdict::Rejected(code.checked_sub(REJECTED)?.try_into().ok()?),
    })
}

/// Encodes shares.
pub(super) fn encode(shares: &[ShareRow]) -> Vec<u8> {
    let mut columns = Columns::default();
    let (mut ntime, mut version) = (0u32, 0u32);
    for share in shares {
        match (columns.jobs.last(), columns.runs.last_mut()) {
            (Some(job), Some(run)) if *job == share.job => *run += 1,
            _ => {
                columns.jobs.push(share.job.clone());
                columns.runs.push(1);
            }
        }
        columns.extranonce2.extend_from_slice(&share.extranonce2);
        columns.extranonce2_sizes.push(share.extranonce2.len() as u64);
        columns.ntimes.push(share.ntime.wrapping_sub(ntime).cast_signed());
        columns.versions.push(share.version ^ version);
        columns.nonces.push(share.nonce);
        columns.difficulties.push(share.difficulty);
        columns.verdicts.push(verdict_code(share.verdict));
        columns.round_trips_us.push(share.round_trip.as_micros().try_into().unwrap_or(u64::MAX));
        (ntime, version) = (share.ntime, share.version);
    }
    if columns.verdicts.iter().all(|code| *code == ACCEPTED) {
        columns.verdicts.clear();
    }
    columns.encode_to_vec()
}

/// Decodes shares; `None` if [`encode`] did not write these bytes.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<ShareRow>> {
    let mut columns = Columns::decode(bytes).ok()?;
    let count = columns.nonces.len();
    if columns.verdicts.is_empty() {
        columns.verdicts.resize(count, ACCEPTED);
    }
    let sizes = [
        columns.extranonce2_sizes.len(),
        columns.ntimes.len(),
        columns.versions.len(),
        columns.difficulties.len(),
        columns.verdicts.len(),
        columns.round_trips_us.len(),
    ];
    if sizes.iter().any(|size| *size != count) || columns.jobs.len() != columns.runs.len() {
        return None;
    }
    let mut jobs = columns.jobs.iter().zip(&columns.runs).flat_map(|(job, run)| {
        // Damaged bytes may claim a run that is longer than the number of shares.
        std::iter::repeat_n(job, usize::try_from(*run).unwrap_or(count).min(count))
    });
    let mut extranonce2 = columns.extranonce2.as_slice();
    let (mut ntime, mut version) = (0u32, 0u32);
    let mut shares = Vec::with_capacity(count);
    for i in 0..count {
        let size = usize::try_from(columns.extranonce2_sizes[i]).ok()?;
        let (own, others) = extranonce2.split_at_checked(size)?;
        extranonce2 = others;
        ntime = ntime.wrapping_add(columns.ntimes[i].cast_unsigned());
        version ^= columns.versions[i];
        shares.push(ShareRow {
            job: jobs.next()?.clone(),
            extranonce2: own.to_vec(),
            ntime,
            version,
            nonce: columns.nonces[i],
            difficulty: columns.difficulties[i],
            verdict: verdict(columns.verdicts[i])?,
            round_trip: Duration::from_micros(columns.round_trips_us[i]),
        });
    }
    (jobs.next().is_none() && extranonce2.is_empty()).then_some(shares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            6 => Just(Verdict::Accepted),
            1 => Just(Verdict::Stale),
            1 => Just(Verdict::Unanswered),
            1 => any::<u32>().prop_map(Verdict::Rejected),
        ]
    }

    prop_compose! {
        fn any_share()(
            job in prop_oneof![Just(String::new()), Just("j1".to_owned()), ".{0,9}"],
            extranonce2 in prop::collection::vec(any::<u8>(), 0..9),
            (ntime, version, nonce) in any::<(u32, u32, u32)>(),
            difficulty in prop::num::f64::ANY.prop_filter("NaN is equal to nothing", |n| !n.is_nan()),
            verdict in any_verdict(),
            micros in any::<u64>(),
        ) -> ShareRow {
            let round_trip = Duration::from_micros(micros);
            ShareRow { job, extranonce2, ntime, version, nonce, difficulty, verdict, round_trip }
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(shares in prop::collection::vec(any_share(), 0..40)) {
            prop_assert_eq!(decode(&encode(&shares)), Some(shares));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = decode(&bytes);
        }

        /// Damaged bytes are refused or decoded to wrong shares, but never cause a panic. Truncated bytes never yield the full
        /// number of shares.
        #[test]
        fn damage_is_no_panic(
            shares in prop::collection::vec(any_share(), 1..9),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = encode(&shares);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode(&bytes);
            prop_assert_eq!(decode(&bytes[..at]).is_some_and(|found| found.len() == shares.len()), false);
        }
    }

    #[test]
    fn shares_as_a_worker_finds_them_are_small() {
        let share = |n: u32| ShareRow {
            job: format!("{:x}", 0x5f3a12 + n / 30),
            extranonce2: (n / 7).to_be_bytes().to_vec(),
            ntime: 1_700_000_000 + n,
            version: 0x2000_0000 + 0x2000 * (n % 3),
            nonce: n.wrapping_mul(0x9e37_79b9),
            difficulty: 1.0 + f64::from(n) / 7.0,
            verdict: Verdict::Accepted,
            round_trip: Duration::from_micros(430 + u64::from(n)),
        };
        let shares: Vec<_> = (0..128).map(share).collect();
        let size = encode(&shares).len();
        assert!(size < 27 * shares.len(), "{size}");
        assert_eq!(decode(&encode(&shares)), Some(shares));
    }
}

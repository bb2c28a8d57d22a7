//! Tests every backend with headers of Bitcoin's main chain, from `tests/data/headers.txt`.

use hasher::{Backend, Cursor, Header, Hit, HitBuffer, Target, Work, sha256d};

struct Block {
    height: u32,
    hash: &'static str,
    header: Header,
}

fn blocks() -> Vec<Block> {
    let lines = include_str!("data/headers.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [height, hash, header] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let bytes = hex::decode(header).unwrap().try_into().unwrap();
            Block { height: height.parse().unwrap(), hash, header: Header::from_bytes(&bytes) }
        })
        .collect()
}

#[test]
fn headers_hash_to_their_known_hashes() {
    assert!(blocks().len() >= 6);
    for Block { height, hash, header } in blocks() {
        assert_eq!(header.digest().to_string(), hash, "block {height}");
        assert_eq!(sha256d(&header.to_bytes()), header.digest().to_bytes());
        assert_eq!(Header::from_bytes(&header.to_bytes()), header);
        let target = Target::from_compact(header.nbits).unwrap();
        assert!(target.is_met_by(&header.digest()), "block {height}");
        assert!(header.digest().difficulty() >= target.difficulty(), "block {height}");
    }
    assert_eq!(blocks()[0].header, Header::genesis());
}

/// A search near the nonce of a block finds exactly that nonce, both with the block's version alone and among other versions.
#[test]
fn every_backend_finds_the_nonces_of_real_blocks() {
    for backend in Backend::available() {
        for Block { height, header, .. } in blocks() {
            for others in [0, 4, 23] {
                let mut versions: Vec<u32> = (0..others).map(|i| 0x3000_0000 | i << 13).collect();
                versions.insert(versions.len() / 2, header.version);
                let target = Target::from_compact(header.nbits).unwrap();
                let work = Work::new(&header, &versions, &target).unwrap();
                let hits = search(backend, &work, header.nonce.saturating_sub(300), 600);
                let hit = Hit { version: header.version, nonce: header.nonce };
                assert_eq!(hits, [hit], "{backend}, block {height}, {others} other versions");
                assert_eq!(work.header(hit), header);
            }
        }
    }
}

fn search(backend: Backend, work: &Work, start: u32, nonces: u64) -> Vec<Hit> {
    let work = work.clone().with_end(u64::from(start) + nonces);
    let (mut buffer, mut hits) = (HitBuffer::new(), Vec::new());
    let mut next = Some(Cursor::at_nonce(start));
    while let Some(from) = next {
        next = backend.scan(&work, from, &mut buffer).next;
        hits.extend(buffer.drain());
    }
    hits
}

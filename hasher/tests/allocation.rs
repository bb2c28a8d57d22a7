//! The search does not allocate memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hasher::{Backend, Cursor, Header, HitBuffer, MAX_VERSIONS, Target, Work};

/// The system allocator, which also counts the requests of each thread.
struct Counting;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system allocator does all the work. The counter is a thread-local without a destructor.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.set(REQUESTS.get() + 1);
        // SAFETY: the caller meets the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `alloc` above returned the pointer for this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn requests(what: impl FnOnce()) -> u64 {
    let before = REQUESTS.get();
    what();
    REQUESTS.get() - before
}

#[test]
fn a_scan_allocates_nothing() {
    assert_eq!(requests(|| drop(std::hint::black_box(Box::new(1)))), 1, "allocations are counted");
    let rolled: Vec<u32> = (0..MAX_VERSIONS as u32).map(|i| 0x2000_0000 | i << 13).collect();
    let mut hits = HitBuffer::new();
    for backend in Backend::available() {
        for (versions, target) in [
            (&rolled[..], Target::from_difficulty(1e-6)),
            (&rolled[..1], Target::MAX),
            (&rolled, Target::ZERO),
        ] {
            let asked = requests(|| {
                // A change of job must not allocate either.
                let work = Work::new(&Header::genesis(), versions, &target).expect("a few versions");
                let mut cursor = Cursor::default();
                for _ in 0..50 {
                    cursor = backend.scan(&work, cursor, &mut hits).next.expect("a large space");
                    hits.drain().for_each(drop);
                }
            });
            assert_eq!(asked, 0, "{backend}, {} versions", versions.len());
        }
    }
}

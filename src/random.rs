//! Random numbers for the static build (`scripts/static`), by the kernel's system call.
//!
//! The crate `getrandom` looks for the system call in the C library at run time, which a static program cannot. Then it needs
//! `/dev/random` and `/dev/urandom`, which an empty root does not have.

use std::fs::File;
use std::io::Read;

use getrandom::Error;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// What the crate `getrandom` calls with the backend `custom`: fills the `length` bytes at `buffer`.
///
/// # Errors
/// If the kernel has no system call for it (before Linux 3.17), and `/dev/urandom` cannot be read.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[expect(unsafe_code, reason = "the crate `getrandom` calls this function by its name, with a pointer")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(buffer: *mut u8, length: usize) -> Result<(), Error> {
    // SAFETY: the caller says that these bytes may be written. They are zeros before anything reads them.
    let bytes = unsafe {
        buffer.write_bytes(0, length);
        std::slice::from_raw_parts_mut(buffer, length)
    };
    fill(bytes)
}

fn fill(mut bytes: &mut [u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(Errno::INTR) => {}
            // An older kernel, or a sandbox that forbids the call.
            Err(_) => return read_device(bytes),
        }
    }
    Ok(())
}

fn read_device(bytes: &mut [u8]) -> Result<(), Error> {
    let read = File::open("/dev/urandom").and_then(|mut device| device.read_exact(bytes));
    read.map_err(|_| Error::UNSUPPORTED)
}

use super::*;

/// A file with this content.
fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// The header of a 64-bit little-endian ELF file with no segments.
fn elf(machine: u16) -> Vec<u8> {
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend([2, 0]);
    header.extend(machine.to_le_bytes());
    header.resize(64, 0);
    (header[20], header[52], header[54]) = (1, 64, 56);
    header
}

fn advice(content: &[u8]) -> Option<String> {
    Executable::read(file(content).path()).unwrap().advice()
}

#[test]
fn a_dynamic_program_names_the_glibc_that_it_needs() {
    // The test itself is a dynamic build, except where somebody builds everything statically.
    let this = Executable::read(&std::env::current_exe().unwrap()).unwrap();
    if cfg!(target_feature = "crt-static") {
        return assert!(matches!(this, Executable::Static { .. }), "{this:?}");
    }
    let Executable::Dynamic { glibc: Some(glibc), ref libraries, .. } = this else { panic!("{this:?}") };
    // Rust needs glibc 2.17 at least.
    assert!(glibc >= GlibcVersion::parse("GLIBC_2.17").unwrap(), "{glibc}");
    assert!(!libraries.iter().any(|library| library.starts_with("libc.so")), "{libraries:?}");
    let advice = this.advice().unwrap();
    assert!(
        advice.contains(&format!("with glibc {glibc} or newer")) && advice.contains("scripts/static"),
        "{advice}"
    );
}

#[test]
fn static_programs_need_their_architecture_only() {
    let own = Architecture::own().expect("tests run on a known architecture").0.0;
    assert_eq!(advice(&elf(own)), None);
    let other = if own == EM_AARCH64.0 { EM_X86_64 } else { EM_AARCH64 };
    let told = advice(&elf(other.0)).unwrap();
    assert!(told.contains(&Architecture(other).to_string()), "{told}");
    let told = advice(&elf(0x1234)).unwrap();
    assert!(told.contains("architecture 4660"), "{told}");
}

#[test]
fn scripts_and_other_files_are_told_apart() {
    assert!(advice(b"#!/usr/bin/env python3\nprint()\n").unwrap().contains("need /usr/bin/env,"));
    for other in [&b""[..], b"#!", b"x", b"\x1f\x8b\x08\x00 an archive", b"MZ"] {
        assert!(advice(other).unwrap().contains("neither a program for Linux nor a script"), "{other:?}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let mut cut = elf(62);
    cut[54] = 56;
    cut[56] = 9; // Nine segments, of which none is in the file.
    cut[32] = 64;
    assert!(Executable::read(file(&cut).path()).is_err());
    assert!(Executable::read(file(&elf(62)[..30]).path()).is_err());
    assert!(Executable::read(Path::new("/no/such/file")).is_err());
}

#[test]
fn versions_are_compared_by_number() {
    let version = |text: &str| GlibcVersion::parse(text);
    assert!(version("GLIBC_2.34") > version("GLIBC_2.4"));
    assert_eq!(version("GLIBC_2.2.5").unwrap().to_string(), "2.2");
    assert_eq!(version("GLIBC_ABI_DT_RELR").unwrap().to_string(), "2.36");
    for other in ["GCC_3.0", "GLIBC_PRIVATE", "GLIBC_2", ""] {
        assert_eq!(version(other), None, "{other}");
    }
}

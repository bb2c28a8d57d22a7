//! Which agents can run an executable: read from the file itself, before agents fetch it.

mod glibc;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use object::elf::{DT_NEEDED, EM_386, EM_AARCH64, EM_X86_64, FileHeader32, FileHeader64, Machine};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};

pub(crate) use self::glibc::GlibcVersion;

/// What a machine needs to run a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Executable {
    /// An ELF file that needs nothing but the kernel.
    Static {
        /// What the file is compiled for.
        architecture: Architecture,
    },
    /// An ELF file that is loaded with libraries of the machine.
    Dynamic {
        /// What the file is compiled for.
        architecture: Architecture,
        /// The oldest glibc that has all that the file uses; `None` if the file does not use glibc.
        glibc: Option<GlibcVersion>,
        /// The path of the dynamic loader.
        loader: String,
        /// The names of the needed libraries that are not part of glibc.
        libraries: Vec<String>,
    },
    /// A script.
    Script {
        /// The program after `#!`.
        interpreter: String,
    },
    /// Something else, which Linux cannot execute by itself.
    Other,
}

/// A processor architecture, by its number in the ELF header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Architecture(Machine);

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EM_X86_64 => f.write_str("x86-64"),
            EM_AARCH64 => f.write_str("arm64"),
            EM_386 => f.write_str("x86 (32 bits)"),
            Machine(number) => write!(f, "architecture {number} (see EM_… in elf.h)"),
        }
    }
}

impl Architecture {
    /// The architecture that this program is compiled for; `None` if this module has no name for it.
    fn own() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self(EM_X86_64)),
            "aarch64" => Some(Self(EM_AARCH64)),
            _ => None,
        }
    }
}

impl Executable {
    /// Reads what a file needs to be executed, such as its processor architecture or its interpreter. Only some kilobytes of the
    /// file are read.
    ///
    /// # Errors
    /// If the file cannot be read, or is a damaged ELF file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = ReadCache::new(File::open(path)?);
        let damaged = |error: object::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        match FileKind::parse(&file) {
            Ok(FileKind::Elf64) => read_elf::<FileHeader64<Endianness>>(&file).map_err(damaged),
            Ok(FileKind::Elf32) => read_elf::<FileHeader32<Endianness>>(&file).map_err(damaged),
            _ => Ok(interpreter(&file).map_or(Self::Other, |interpreter| Self::Script { interpreter })),
        }
    }

    /// Tells the user what agents need to run the file. `None` if the file is a static build for this program's own architecture.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Static { architecture } if Some(*architecture) == Architecture::own() => None,
            Self::Static { architecture } => {
                Some(format!("agents need {architecture}, because the executor is built for it"))
            }
            Self::Dynamic { architecture, glibc, loader, libraries } => {
                let base = match glibc {
                    Some(version) => format!("glibc {version} or newer"),
                    None => loader.clone(),
                };
                let needs =
                    std::iter::once(base).chain(libraries.iter().cloned()).collect::<Vec<_>>().join(" and ");
                Some(format!(
                    "agents need {architecture} Linux with {needs}, because the executor is a dynamic build; a static build \
                     (scripts/static) runs on any {architecture} Linux from kernel 3.10 on"
                ))
            }
            Self::Script { interpreter } => {
                Some(format!("agents need {interpreter}, because the executor is a script"))
            }
            Self::Other => Some(
                "agents can probably not run the executor: it is neither a program for Linux nor a script"
                    .into(),
            ),
        }
    }
}

/// Reads the headers of an ELF file.
fn read_elf<'data, Elf: FileHeader<Endian = Endianness>>(
    file: impl ReadRef<'data>,
) -> object::Result<Executable> {
    let header = Elf::parse(file)?;
    let endian = header.endian()?;
    let architecture = Architecture(header.e_machine(endian));
    let mut loader = None;
    for segment in header.program_headers(endian, file)? {
        loader = loader.or(segment.interpreter(endian, file)?);
    }
    let Some(loader) = loader else { return Ok(Executable::Static { architecture }) };
    let sections = header.sections(endian, file)?;
    let mut libraries = Vec::new();
    if let Some((entries, strings)) = sections.dynamic(endian, file)? {
        let strings = sections.strings(endian, file, strings)?;
        for entry in entries.iter().take_while(|entry| entry.tag(endian) != object::elf::DT_NULL) {
            if entry.tag(endian) == DT_NEEDED {
                libraries.push(text(entry.string(endian, strings)?));
            }
        }
    }
    let mut glibc = None;
    if let Some((needs, strings)) = sections.gnu_verneed(endian, file)? {
        let strings = sections.strings(endian, file, strings)?;
        for need in needs {
            for version in need?.1 {
                glibc = glibc.max(GlibcVersion::parse(&text(version?.name(endian, strings)?)));
            }
        }
    }
    if glibc.is_some() {
        libraries.retain(|library| !glibc::is_part(library));
    }
    Ok(Executable::Dynamic { architecture, glibc, loader: text(loader), libraries })
}

/// The program after `#!` at the start of a script.
fn interpreter<'data>(file: impl ReadRef<'data>) -> Option<String> {
    /// The kernel reads at most this many bytes of a script's first line.
    const LONGEST: u64 = 256;
    let length = file.len().ok()?.min(LONGEST);
    let line = file.read_bytes_at(0, length).ok()?.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    text(line).split_whitespace().next().map(str::to_owned)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;

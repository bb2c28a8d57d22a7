//! The served files: the executable, and an archive of it for Mesos' fetcher.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::task_info::EXECUTABLE;

/// The suffix of the archive, which makes the fetcher unpack it.
const PACKED: &str = ".tar.gz";
/// The executable's modification time in the archive, in seconds since 1970. It is constant, so that equal executables give equal
/// archives.
const TIME: u64 = 1_577_836_800;
/// The size in bytes of the buffer through which the executable is read.
const BUFFER: usize = 256 * 1024;
/// Executables of more bytes than this contain debug information and are not releases. They are packed with the fastest
/// compression. A better compression would make the archive only a few per cent smaller, but would take seconds at each start.
const LONG: u64 = 64 << 20;

/// A file, and the path under which it is served.
#[derive(Debug)]
pub(super) struct ServedFile {
    pub file: File,
    pub length: u64,
    pub path: String,
}

/// The executable, and its archive if there is one. Both files stay open, so that replacing the executable on disk does not
/// change the served content.
#[derive(Debug)]
pub(super) struct ArtifactFiles {
    pub plain: ServedFile,
    pub packed: Option<ServedFile>,
}

impl ArtifactFiles {
    /// Reads the executable for its checksum and, if there is a `folder`, packs it into an unnamed file there.
    pub fn open(executable: &Path, folder: Option<&Path>) -> io::Result<Self> {
        let mut file = File::open(executable)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let length = metadata.len();
        let content = HashingReader { file: &mut file, hasher: Sha256::new(), read: 0 };
        let mut content = BufReader::with_capacity(BUFFER, content);
        let packed = match folder {
            Some(folder) => Some(pack(&mut content, length, folder)?),
            None => io::copy(&mut content, &mut io::sink()).map(|_| None)?,
        };
        let HashingReader { hasher, read, .. } = content.into_inner();
        if read != length {
            return Err(io::Error::other("the file changed while it was read"));
        }
        let path = format!("/{}/{EXECUTABLE}", hex::encode(hasher.finalize()));
        let packed =
            packed.map(|(file, length)| ServedFile { file, length, path: format!("{path}{PACKED}") });
        Ok(Self { plain: ServedFile { file, length, path }, packed })
    }

    /// The file that agents fetch.
    pub fn for_agents(&self) -> &ServedFile {
        self.packed.as_ref().unwrap_or(&self.plain)
    }

    /// The file with this path.
    pub fn at(&self, path: &str) -> Option<&ServedFile> {
        [Some(&self.plain), self.packed.as_ref()].into_iter().flatten().find(|served| served.path == path)
    }
}

/// Packs `length` bytes as an executable file. Returns the archive and its length.
fn pack(content: &mut impl Read, length: u64, folder: &Path) -> io::Result<(File, u64)> {
    let archive = tempfile::tempfile_in(folder).or_else(|_| tempfile::tempfile())?;
    let level = if length > LONG { Compression::fast() } else { Compression::default() };
    let packer = GzBuilder::new().mtime(0).write(BufWriter::new(archive), level);
    let mut builder = Builder::new(packer);
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path(EXECUTABLE)?;
    header.set_mode(0o755);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(length);
    header.set_cksum();
    builder.append(&header, content)?;
    let mut writer = builder.into_inner()?.finish()?;
    writer.flush()?;
    let mut archive = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    let length = archive.stream_position()?;
    Ok((archive, length))
}

/// A reader that computes the checksum of what it reads.
struct HashingReader<'a> {
    file: &'a mut File,
    hasher: Sha256,
    read: u64,
}

impl Read for HashingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;

    fn all(served: &ServedFile) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(served.length).unwrap()];
        served.file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn the_archive_contains_the_executable_and_depends_only_on_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("program");
        let content: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&executable, &content).unwrap();
        let files = ArtifactFiles::open(&executable, Some(folder.path())).unwrap();
        let packed = files.packed.as_ref().unwrap();
        assert_eq!(packed.path, format!("/{}/mesos-miner.tar.gz", hex::encode(Sha256::digest(&content))));
        assert!(packed.length < files.plain.length / 2);
        let unpacked = tempfile::tempdir().unwrap();
        tar::Archive::new(flate2::read::GzDecoder::new(&all(packed)[..])).unpack(unpacked.path()).unwrap();
        let entries: Vec<_> = std::fs::read_dir(unpacked.path()).unwrap().collect();
        assert_eq!(entries.len(), 1);
        let file = unpacked.path().join(EXECUTABLE);
        assert_eq!(std::fs::read(&file).unwrap(), content);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);

        // The archive must not depend on the executable's name, mode or modification time.
        let copy = folder.path().join("copy");
        std::fs::write(&copy, &content).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600)).unwrap();
        let again = ArtifactFiles::open(&copy, Some(folder.path())).unwrap();
        assert!(
            all(again.packed.as_ref().unwrap()) == all(packed),
            "the archive depends on more than the content"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "archives have no names");
    }

    #[test]
    fn without_a_folder_there_is_no_archive() {
        let executable = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(executable.path(), b"x").unwrap();
        let files = ArtifactFiles::open(executable.path(), None).unwrap();
        assert!(files.packed.is_none());
        assert_eq!(files.for_agents().path, files.plain.path);
        assert!(files.at(&files.plain.path).is_some() && files.at("/mesos-miner").is_none());
    }
}

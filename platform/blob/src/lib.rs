//! Content-addressed files: product pictures, invoices.
//!
//! A blob is named by the SHA-256 of its bytes, so it never changes, the same bytes are kept once,
//! and a name can hold nothing but 64 hex digits: there is no path to trick. Files lie two folders
//! deep (`ab/cd/abcd…`). A blob is there whole or not at all, also after a crash: it is written to
//! `tmp/`, synced, renamed into place, and the folders are synced before `put` answers.
//!
//! File work runs on tokio's blocking threads. Several processes may share a folder.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mela_base::Env;
use ring::digest::{SHA256, digest};

/// The name of a blob: the SHA-256 of its content. As text 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobRef([u8; 32]);

/// Why a blob could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("there is no blob {0}")]
    NotFound(BlobRef),
    /// The text is not a blob's name.
    #[error("a blob's name is 64 lower-case hex digits")]
    BadRef,
    /// The range begins after the end of the blob.
    #[error("blob {0} has only {1} bytes")]
    OutOfRange(BlobRef, u64),
    /// The file does not hold what its name says: the disk or somebody changed it.
    #[error("blob {0} is damaged")]
    Damaged(BlobRef),
    /// The file system failed.
    #[error("blob store: {0}")]
    Io(#[from] io::Error),
}

impl BlobRef {
    /// The name that `bytes` have.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }
}

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobRef {
    type Err = BlobError;

    fn from_str(text: &str) -> Result<Self, BlobError> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(BlobError::BadRef);
        }
        let mut hash = [0; 32];
        for (out, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *out = digit(pair[0])
                .zip(digit(pair[1]))
                .map(|(h, l)| h << 4 | l)
                .ok_or(BlobError::BadRef)?;
        }
        Ok(Self(hash))
    }
}

/// A folder of blobs. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    root: Arc<Path>,
    env: Env,
}

/// A file in `tmp/` that is older belongs to a process that died; a live `put` takes seconds.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

impl BlobStore {
    /// Opens the store in `root`, makes the folder if needed, and removes what a crash left behind.
    pub fn open(root: impl Into<PathBuf>, env: Env) -> Result<Self, BlobError> {
        let root: PathBuf = root.into();
        let tmp = root.join("tmp");
        fs::create_dir_all(&tmp)?;
        for entry in fs::read_dir(&tmp)? {
            let entry = entry?;
            let old = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
            if old {
                ignore_missing(fs::remove_file(entry.path()))?;
            }
        }
        Ok(Self { root: root.into(), env })
    }

    /// Keeps `bytes` durably and returns their name. Keeping the same bytes again does nothing.
    pub async fn put(&self, bytes: impl Into<Vec<u8>>) -> Result<BlobRef, BlobError> {
        let bytes = bytes.into();
        let tmp = self.root.join("tmp").join(hex16(self.env.random()));
        self.run(move |store| store.put_now(&bytes, &tmp)).await
    }

    /// The whole blob, checked against its name.
    pub async fn get(&self, blob: BlobRef) -> Result<Vec<u8>, BlobError> {
        self.run(move |store| {
            let bytes = fs::read(store.path(blob)).map_err(|e| missing(blob, e))?;
            if BlobRef::of(&bytes) == blob { Ok(bytes) } else { Err(BlobError::Damaged(blob)) }
        })
        .await
    }

    /// A part of the blob, cut at its end. Not checked against the name.
    pub async fn range(&self, blob: BlobRef, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        self.run(move |store| {
            let mut file = File::open(store.path(blob)).map_err(|e| missing(blob, e))?;
            let len = file.metadata()?.len();
            if range.start > len {
                return Err(BlobError::OutOfRange(blob, len));
            }
            file.seek(SeekFrom::Start(range.start))?;
            let mut out = Vec::new();
            file.take(range.end.min(len).saturating_sub(range.start)).read_to_end(&mut out)?;
            Ok(out)
        })
        .await
    }

    /// The blob's length, or `None` if there is no such blob.
    pub async fn len(&self, blob: BlobRef) -> Result<Option<u64>, BlobError> {
        self.run(move |store| match fs::metadata(store.path(blob)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        })
        .await
    }

    /// True if the blob is there.
    pub async fn exists(&self, blob: BlobRef) -> Result<bool, BlobError> {
        Ok(self.len(blob).await?.is_some())
    }

    /// Removes the blob durably; false if it was not there. The caller makes sure that nobody puts
    /// the same bytes at the same time.
    pub async fn delete(&self, blob: BlobRef) -> Result<bool, BlobError> {
        self.run(move |store| {
            let path = store.path(blob);
            let there = ignore_missing(fs::remove_file(&path))?;
            if there {
                sync_parent(&path)?;
            }
            Ok(there)
        })
        .await
    }

    fn path(&self, blob: BlobRef) -> PathBuf {
        let name = blob.to_string();
        self.root.join(&name[..2]).join(&name[2..4]).join(name)
    }

    fn put_now(&self, bytes: &[u8], tmp: &Path) -> Result<BlobRef, BlobError> {
        let blob = BlobRef::of(bytes);
        let path = self.path(blob);
        // A file of another length is damage: write it again.
        if fs::metadata(&path).is_ok_and(|m| m.len() == bytes.len() as u64) {
            return Ok(blob);
        }
        let written = write_synced(tmp, bytes).and_then(|()| self.rename(tmp, &path));
        if written.is_err() {
            let _ = fs::remove_file(tmp);
        }
        written.map(|()| blob).map_err(BlobError::from)
    }

    fn rename(&self, tmp: &Path, path: &Path) -> io::Result<()> {
        if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
            fs::create_dir_all(dir)?;
            // The new folders' own names must survive too.
            sync_parent(dir)?;
            sync_dir(&self.root)?;
        }
        fs::rename(tmp, path)?;
        sync_parent(path)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(io::Error::other)?
    }
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobStore({})", self.root.display())
    }
}

fn hex16(bytes: [u8; 16]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn missing(blob: BlobRef, e: io::Error) -> BlobError {
    if e.kind() == ErrorKind::NotFound { BlobError::NotFound(blob) } else { e.into() }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

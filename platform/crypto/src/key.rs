use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mela_base::Env;
use ring::aead::LessSafeKey;
use ring::hkdf;

use crate::seal::{aes, open, seal};
use crate::{CryptoError, LookupKey, hex, unhex};

/// The secret from which every other key of an installation follows. Who has it and the database
/// can read everything; who loses it can read nothing sealed any more.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

/// What [`MasterKey::load_or_create`] found or made.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: MasterKey,
    /// True if the file did not exist and was made now: tell the operator to keep a copy.
    pub created: bool,
    /// True if other users of the machine may read the file: warn.
    pub open_to_others: bool,
}

const KEY_FILE_HEAD: &str = "\
# Mela's master key. Everything personal in the database is sealed under it.\n\
# Keep a copy in a safe place apart from the backups of the database: without it they cannot\n\
# be read, and with it anybody can read them.\n";

impl MasterKey {
    /// A new random key.
    pub fn generate(env: &Env) -> Self {
        Self(env.random())
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex digits, or 32 bytes in base64 (either alphabet, padding optional).
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let t = text.trim();
        let bare = t.trim_end_matches('=');
        let bytes = match t.len() {
            64 => unhex(t),
            _ => STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok(),
        };
        bytes.and_then(|b| b.try_into().ok()).map(Self).ok_or_else(|| {
            CryptoError::Key(
                "a master key is 32 bytes: 64 hex digits or 43 characters of base64; \
                 `openssl rand -hex 32` makes one"
                    .into(),
            )
        })
    }

    /// Reads the key file, and makes it (readable by its owner only) if there is none. Two
    /// processes that start at once end with the same key.
    pub fn load_or_create(path: &Path, env: &Env) -> Result<KeyFile, CryptoError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::from_file_text(path, &text, false),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let created = write_new(path, &Self::generate(env), env).map_err(io(path))?;
                Self::from_file_text(path, &fs::read_to_string(path).map_err(io(path))?, created)
            }
            Err(e) => Err(io(path)(e)),
        }
    }

    fn from_file_text(path: &Path, text: &str, created: bool) -> Result<KeyFile, CryptoError> {
        let line = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
        let key = Self::parse(line.unwrap_or_default())
            .map_err(|e| CryptoError::Key(format!("key file {}: {e}", path.display())))?;
        Ok(KeyFile { key, created, open_to_others: open_to_others(path) })
    }

    /// A sub-key for `purpose`, from which the master key cannot be computed.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        struct Len32;
        impl hkdf::KeyType for Len32 {
            fn len(&self) -> usize {
                32
            }
        }
        let mut out = [0; 32];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mela").extract(&self.0);
        // Fails only for outputs over 8 KiB.
        if let Ok(okm) = prk.expand(&[purpose.as_bytes()], Len32) {
            let _ = okm.fill(&mut out);
        }
        out
    }

    /// A public name of the key: eight hex digits that say nothing about it.
    pub fn id(&self) -> String {
        hex(&self.derive("key id")[..4])
    }
}

/// Masked: shows the id only.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ***)", self.id())
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> CryptoError + '_ {
    move |e| CryptoError::Key(format!("key file {}: {e}", path.display()))
}

/// Writes a temporary file and links it into place, so that nobody ever reads half a key and the
/// first writer wins. Returns whether that was us.
fn write_new(path: &Path, key: &MasterKey, env: &Env) -> std::io::Result<bool> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let tmp = dir.join(format!(".master-key-{}", hex(&env.random::<8>())));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&tmp)?;
    writeln!(file, "{KEY_FILE_HEAD}{}", hex(&key.0))?;
    file.sync_all()?;
    let linked = fs::hard_link(&tmp, path);
    fs::remove_file(&tmp)?;
    match linked {
        Ok(()) => File::open(dir)?.sync_all().map(|()| true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(unix)]
fn open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> bool {
    false
}

/// The current master key and, while a change is under way, the previous one: what the previous
/// one wrapped still opens, what is wrapped now uses the current one.
#[derive(Clone)]
pub struct Keyring {
    current: Entry,
    previous: Option<Entry>,
}

#[derive(Clone)]
struct Entry {
    id: String,
    master: MasterKey,
    wrapping: LessSafeKey,
}

impl Entry {
    fn new(master: MasterKey) -> Result<Self, CryptoError> {
        Ok(Self { id: master.id(), wrapping: aes(&master.derive("wrap"))?, master })
    }
}

impl Keyring {
    /// A ring of these keys.
    pub fn new(current: MasterKey, previous: Option<MasterKey>) -> Result<Self, CryptoError> {
        Ok(Self { current: Entry::new(current)?, previous: previous.map(Entry::new).transpose()? })
    }

    /// The id of the current master key.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// A sub-key of the current master key for `purpose`.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        self.current.master.derive(purpose)
    }

    /// The key for look-up hashes and one-time codes.
    pub fn lookup_key(&self) -> LookupKey {
        LookupKey::new(&self.derive("lookup"))
    }

    /// The look-up key of the previous master key: what is not found by the current one may still
    /// lie there under this one.
    pub fn previous_lookup_key(&self) -> Option<LookupKey> {
        self.previous.as_ref().map(|p| LookupKey::new(&p.master.derive("lookup")))
    }

    /// Seals a small secret (another key) under the current master key. `context` is bound to it.
    pub fn wrap(&self, env: &Env, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
        seal(&self.current.wrapping, env, context, secret)
    }

    /// Opens what [`Keyring::wrap`] made under the master key with id `key_id`.
    pub fn unwrap(
        &self,
        key_id: &str,
        context: &[u8],
        wrapped: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let entry = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|e| e.id == key_id)
            .ok_or_else(|| CryptoError::UnknownMasterKey(key_id.chars().take(16).collect()))?;
        open(&entry.wrapping, context, wrapped)
    }
}

/// Shows ids only.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let previous = self.previous.as_ref().map_or("none", |p| &p.id);
        write!(f, "Keyring(current {}, previous {previous})", self.current.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hex_and_base64() {
        let key = MasterKey::from_bytes([0xfb; 32]);
        for text in [
            "fb".repeat(32),
            "FB".repeat(32),
            format!(" {}\n", "fb".repeat(32)),
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=".into(),
            "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s".into(),
        ] {
            assert_eq!(MasterKey::parse(&text).unwrap(), key, "{text}");
        }
        for bad in
            ["", "secret", &"fb".repeat(31), &"zz".repeat(32), &"f".repeat(63), &"é".repeat(32)]
        {
            let message = MasterKey::parse(bad).unwrap_err().to_string();
            assert!(message.contains("openssl rand -hex 32"), "{bad}");
            assert!(bad.is_empty() || !message.contains(bad), "a refused key is not repeated");
        }
    }

    #[test]
    fn the_file_is_made_once_and_private() {
        let dir =
            std::env::temp_dir().join(format!("mela-key-{}", hex(&Env::system().random::<8>())));
        let path = dir.join("deep").join("master.key");
        let made: Vec<KeyFile> = std::thread::scope(|s| {
            let run = || MasterKey::load_or_create(&path, &Env::system()).unwrap();
            let threads: Vec<_> = (0..8).map(|_| s.spawn(run)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|m| m.created).count(), 1);
        assert!(made.iter().all(|m| m.key == made[0].key && !m.open_to_others));
        assert_eq!(fs::read_dir(dir.join("deep")).unwrap().count(), 1, "no temporary file stays");
        fs::write(&path, "# only a comment\n").unwrap();
        let error = MasterKey::load_or_create(&path, &Env::system()).unwrap_err().to_string();
        assert!(error.contains("master.key"), "{error}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_prints_a_key() {
        let key = MasterKey::from_bytes([0xab; 32]);
        let ring = Keyring::new(key.clone(), None).unwrap();
        let text = format!("{key:?} {ring:?} {:?}", ring.lookup_key());
        assert!(!text.contains("abab"), "{text}");
    }

    #[test]
    fn a_ring_opens_what_either_key_wrapped() {
        let env = Env::system();
        let (a, b) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        let old = Keyring::new(a.clone(), None).unwrap();
        let wrapped = old.wrap(&env, b"ctx", b"secret").unwrap();
        let ring = Keyring::new(b.clone(), Some(a)).unwrap();
        assert_eq!(ring.unwrap(old.current_id(), b"ctx", &wrapped).unwrap(), b"secret");
        assert!(ring.unwrap(old.current_id(), b"other", &wrapped).is_err());
        assert!(ring.unwrap(ring.current_id(), b"ctx", &wrapped).is_err());
        let only_new = Keyring::new(b, None).unwrap();
        let error = only_new.unwrap(old.current_id(), b"ctx", &wrapped).unwrap_err();
        assert_eq!(error, CryptoError::UnknownMasterKey(old.current_id().into()));
        assert!(ring.previous_lookup_key().is_some() && only_new.previous_lookup_key().is_none());
        assert_ne!(ring.derive("a"), ring.derive("b"));
    }
}

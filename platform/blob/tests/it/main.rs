//! The blob store through its public interface, on a real folder.

// Helpers of tests are tests, but clippy does not know.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mela_base::Env;
use mela_blob::{BlobError, BlobRef, BlobStore};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name: String = Env::system().random::<8>().iter().map(|b| format!("{b:02x}")).collect();
        Self(std::env::temp_dir().join(format!("mela-blob-{name}")))
    }

    fn store(&self) -> BlobStore {
        BlobStore::open(&self.0, Env::system()).unwrap()
    }

    fn files(&self) -> usize {
        fn count(dir: &std::path::Path) -> usize {
            let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
            entries.map(|p| if p.is_dir() { count(&p) } else { 1 }).sum()
        }
        count(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_is_put_can_be_read_until_it_is_deleted() {
    let folder = Folder::new();
    let store = folder.store();
    for bytes in [vec![], b"abc".to_vec(), vec![7; 300_000]] {
        let blob = store.put(bytes.clone()).await.unwrap();
        assert_eq!(blob, BlobRef::of(&bytes));
        assert_eq!(store.get(blob).await.unwrap(), bytes);
        assert_eq!(store.len(blob).await.unwrap(), Some(bytes.len() as u64));
        assert_eq!(folder.store().get(blob).await.unwrap(), bytes, "after opening again");
        assert!(store.delete(blob).await.unwrap());
        assert!(!store.delete(blob).await.unwrap());
        assert!(!store.exists(blob).await.unwrap());
        assert!(matches!(store.get(blob).await, Err(BlobError::NotFound(_))));
    }
    assert_eq!(
        BlobRef::of(b"abc").to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[tokio::test]
async fn the_same_bytes_at_once_are_kept_once() {
    let folder = Folder::new();
    let store = folder.store();
    let puts: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.put(vec![1; 10_000]).await.unwrap() })
        })
        .collect();
    for put in puts {
        assert_eq!(put.await.unwrap(), BlobRef::of(&[1; 10_000]));
    }
    assert_eq!(folder.files(), 1);
}

#[tokio::test]
async fn ranges() {
    let folder = Folder::new();
    let store = folder.store();
    let blob = store.put(b"0123456789".to_vec()).await.unwrap();
    for (range, expected) in [(0..3, "012"), (8..100, "89"), (10..12, ""), (3..3, "")] {
        assert_eq!(store.range(blob, range).await.unwrap(), expected.as_bytes());
    }
    assert!(matches!(store.range(blob, 11..12).await, Err(BlobError::OutOfRange(_, 10))));
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = store.range(blob, 5..2).await.unwrap();
    assert!(backwards.is_empty());
    assert_eq!(store.range(blob, 0..u64::MAX).await.unwrap().len(), 10);
}

#[tokio::test]
async fn what_a_crash_left_behind_is_removed_but_not_what_is_being_written() {
    let folder = Folder::new();
    let store = folder.store();
    let blob = store.put(b"whole".to_vec()).await.unwrap();
    let (old, fresh) = (folder.0.join("tmp/old"), folder.0.join("tmp/fresh"));
    fs::write(&old, "half").unwrap();
    fs::write(&fresh, "half").unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    fs::File::options().write(true).open(&old).unwrap().set_modified(yesterday).unwrap();
    let store = folder.store();
    assert!(!old.exists() && fresh.exists());
    assert_eq!(store.get(blob).await.unwrap(), b"whole");
}

#[tokio::test]
async fn damage_is_noticed_and_a_cut_file_is_mended_by_putting_again() {
    let folder = Folder::new();
    let store = folder.store();
    let blob = store.put(b"content".to_vec()).await.unwrap();
    let name = blob.to_string();
    let path = folder.0.join(&name[..2]).join(&name[2..4]).join(&name);
    fs::write(&path, "c0ntent").unwrap();
    assert!(matches!(store.get(blob).await, Err(BlobError::Damaged(_))));
    fs::write(&path, "cont").unwrap();
    store.put(b"content".to_vec()).await.unwrap();
    assert_eq!(store.get(blob).await.unwrap(), b"content");
}

#[test]
fn only_hex_is_a_name() {
    let good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(good.parse::<BlobRef>().unwrap().to_string(), good);
    for bad in [
        "",
        "../../etc/passwd",
        &good[1..],
        &good.to_uppercase(),
        &format!("{good}0"),
        &good.replace("ba", "./"),
        &"é".repeat(32),
    ] {
        assert!(matches!(bad.parse::<BlobRef>(), Err(BlobError::BadRef)), "{bad}");
    }
}

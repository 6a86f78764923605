//! Pictures of an import: found below one folder, never outside of it, named by their content.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::draft::Image;

/// Larger files are not pictures of a shop.
const MAX_PICTURE: u64 = 20 * 1024 * 1024;

/// The media folder of an export.
pub(super) struct Pictures {
    root: Option<PathBuf>,
    seen: HashMap<String, Option<Image>>,
    pub(super) files: HashMap<Image, PathBuf>,
}

impl Pictures {
    pub(super) fn below(folder: &Path) -> Self {
        Self { root: folder.canonicalize().ok(), seen: HashMap::new(), files: HashMap::new() }
    }

    /// The picture at this path of the export. `Err` says, once for each path, why there is none.
    pub(super) fn take(&mut self, path: &str) -> Result<Option<Image>, String> {
        if let Some(known) = self.seen.get(path) {
            return Ok(known.clone());
        }
        let found = self.find(path);
        self.seen.insert(path.to_owned(), found.as_ref().ok().map(|(image, _)| image.clone()));
        let (image, file) = found.map_err(|reason| format!("picture `{path}`: {reason}"))?;
        self.files.entry(image.clone()).or_insert(file);
        Ok(Some(image))
    }

    fn find(&self, path: &str) -> Result<(Image, PathBuf), String> {
        let relative = Path::new(path.trim_start_matches('/'));
        let tricky = path.contains(['\\', '\0', ':'])
            || relative.components().any(|c| !matches!(c, Component::Normal(_)));
        if tricky {
            return Err("the path leads out of the media folder".to_owned());
        }
        let root = self.root.as_ref().ok_or("the export has no media folder")?;
        // Follows links, which must not lead out either.
        let file = root.join(relative).canonicalize().map_err(|_| "there is no such file")?;
        if !file.starts_with(root) || !file.is_file() {
            return Err("the path leads out of the media folder".to_owned());
        }
        let bytes = read_picture(&file)?;
        Ok((Image { hash: mela_blob::BlobRef::of(&bytes).to_string() }, file))
    }
}

/// The bytes, if they are not too many.
pub(super) fn read_picture(file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |e: std::io::Error| format!("it cannot be read: {e}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).map_err(unreadable)?;
    file.take(MAX_PICTURE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_PICTURE {
        return Err("it is larger than 20 MiB".to_owned());
    }
    Ok(bytes)
}

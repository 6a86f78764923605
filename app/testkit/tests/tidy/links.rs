//! Documents name files that exist.

use super::{none, texts};

/// The targets of `[text](target)` in a document.
fn targets(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = super::root();
    let mut findings = Vec::new();
    for (path, text) in texts(|path| path.ends_with(".md")) {
        let folder = root.join(&path).parent().unwrap().to_owned();
        for target in targets(&text) {
            let file = target.split('#').next().unwrap_or("");
            let outside = target.contains("://") || target.starts_with("mailto:");
            if outside || file.is_empty() || folder.join(file).exists() {
                continue;
            }
            findings.push(format!("{path}: `{target}` does not exist"));
        }
    }
    none(&findings);
}

#[test]
fn links_are_found() {
    assert_eq!(targets("see [a](b.md) and [c](d/e.md#f)"), ["b.md", "d/e.md#f"]);
}

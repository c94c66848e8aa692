//! Where new texts of files go: a diff, one stream of documents, or the file itself.

use std::{fs, io::Write as _, path::Path};

use similar::TextDiff;

use crate::error::{Error, Kind, Result};

/// The changes of a file as `diff -u` writes them; empty: there are none.
pub fn diff(name: &str, before: &str, after: &str) -> String {
    let name = name.trim_start_matches('/');
    let diff = TextDiff::from_lines(before, after);
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(3);
    unified
        .header(&format!("a/{name}"), &format!("b/{name}"))
        .to_string()
}

/// Texts as one stream of documents.
pub fn joined(texts: &[&str]) -> String {
    let mut all = String::new();
    for text in texts {
        if !all.is_empty() {
            if !all.ends_with('\n') {
                all.push('\n');
            }
            if !text.trim_start_matches('\u{feff}').starts_with("---") {
                all += "---\n";
            }
        }
        all += text;
    }
    all
}

/// Writes a file anew, at once: whoever reads it sees the old text or the new one. Its mode stays, and
/// a link stays a link.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot write {}: {error}", path.display());
        Error::new(Kind::Invalid, what, "Nothing of it has changed.")
    };
    let path = fs::canonicalize(path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = fs::metadata(&path).map_err(failed)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn texts_are_documents_of_one_stream() {
        assert_eq!(joined(&["a: 1\n"]), "a: 1\n");
        assert_eq!(
            joined(&["a: 1", "b: 1\n", "--- # c\nc: 1\n"]),
            "a: 1\n---\nb: 1\n--- # c\nc: 1\n"
        );
    }

    #[test]
    fn a_diff_is_unified() {
        let diff = diff("/x/f.yaml", "a: 1\nb: 2\n", "a: 1\nb: 3\n");
        assert_eq!(
            diff,
            "--- a/x/f.yaml\n+++ b/x/f.yaml\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        );
        assert_eq!(super::diff("f", "a\n", "a\n"), "");
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_behind_its_link() {
        let folder = tempfile::tempdir().expect("is writable");
        let (path, link) = (
            folder.path().join("f.yaml"),
            folder.path().join("link.yaml"),
        );
        fs::write(&path, "old").expect("is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("is ours");
        symlink(&path, &link).expect("is writable");
        replace(&link, "new").expect("can be written");
        assert_eq!(fs::read_to_string(&path).expect("is readable"), "new");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        let left = fs::read_dir(folder.path()).expect("is readable").count();
        assert_eq!(left, 2);
        assert!(replace(&folder.path().join("missing"), "x").is_err());
    }
}

//! Files and parts of pages that tests compute: compared, or written anew by `make docs`.

use std::fs;

use super::objects::path;

/// Set by `make docs`.
const UPDATE: &str = "UPDATE_EXAMPLES";

/// Checks that a file has a text.
pub fn is_file(file: &str, text: &str) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(path(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let found = fs::read_to_string(path(file)).unwrap_or_default();
    assert!(found == text, "{file}: `make docs` writes it anew");
}

/// Checks that a page has a text between `<!-- name -->` and `<!-- end -->`.
pub fn shown_in_page(page: &str, name: &str, text: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    let found = fs::read_to_string(path(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let Some((before, rest)) = found.split_once(&begin) else {
        panic!("{page} has no {begin}");
    };
    let Some((shown, after)) = rest.split_once(end) else {
        panic!("{page} has no {end} after {begin}");
    };
    if std::env::var_os(UPDATE).is_some() {
        let text = format!("{before}{begin}{text}{end}{after}");
        fs::write(path(page), text).unwrap_or_else(|error| panic!("{page}: {error}"));
        return;
    }
    assert!(
        shown == text,
        "{page}, {name}: `make docs` writes it anew:\n{text}"
    );
}

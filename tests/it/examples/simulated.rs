//! Load tests that are simulated: what the pages show is what the shipped manifests lead to.

use testkit::example::{load_test, local::Local};

use super::{directories, name, root};

/// `make load-test NAME=…` draws the picture anew and prints the table.
#[tokio::test]
async fn pages_show_what_load_tests_lead_to() {
    for directory in directories() {
        if Local::read(&directory).unwrap().load_test.is_none() {
            continue;
        }
        let name = name(&directory);
        let outcome = load_test::simulate(&directory).unwrap();
        let picture = format!("docs/images/{name}-load-test.svg");
        let drawn = std::fs::read_to_string(root().join(&picture)).unwrap();
        assert!(
            drawn == outcome.picture(),
            "{picture}: make load-test NAME={name}"
        );
        let page = std::fs::read_to_string(directory.join("README.md")).unwrap();
        for row in outcome.rows() {
            assert!(page.contains(&row), "{name}/README.md has no {row}");
        }
        assert!(page.contains(&format!("{name}-load-test.svg")), "{name}");
    }
}

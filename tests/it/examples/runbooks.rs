//! Each alert of an example links its section, which says what it means, what to look at and what to do.

use serde_json::Value;

use super::{directories, name};
use crate::docs::page;

#[test]
fn each_alert_of_an_example_has_its_section() {
    let mut checked = 0;
    for directory in directories() {
        let example = name(&directory);
        let folder = format!("deploy/examples/{example}");
        let file: Value = serde_saphyr::from_str(&page(&format!("{folder}/alerts.yaml"))).unwrap();
        let readme = page(&format!("{folder}/README.md"));
        let groups = file["spec"]["groups"].as_array().unwrap();
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap());
        for rule in rules.filter(|rule| rule["alert"].is_string()) {
            let alert = rule["alert"].as_str().unwrap();
            let link = format!("{folder}/README.md#{}", alert.to_lowercase());
            assert_eq!(rule["annotations"]["runbook_url"], link.as_str(), "{alert}");
            let (_, section) = readme
                .split_once(&format!("\n### {alert}\n"))
                .unwrap_or_else(|| panic!("{folder}/README.md has no section {alert}"));
            let section = section.split("\n##").next().unwrap();
            let severity = format!("`{}`", rule["labels"]["severity"].as_str().unwrap());
            for part in ["**Means**", "**Look at**", "**Do**", severity.as_str()] {
                assert!(section.contains(part), "{alert}: {part}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 18, "{checked}");
}

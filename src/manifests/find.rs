//! Paths → texts: files, folders and stdin.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::error::{Error, Kind, Result};

/// What was read from one file, or from stdin.
pub struct Input {
    /// The path as given, or `stdin`.
    pub name: String,
    /// `None`: stdin.
    pub path: Option<PathBuf>,
    pub text: String,
    /// It was found in a folder, so that it may be anything.
    pub in_folder: bool,
    /// It was found in a folder, among the templates of the Helm chart of this folder.
    pub chart: Option<PathBuf>,
}

impl Input {
    /// Whether it is a template of a Helm chart, which is no YAML before it is rendered.
    pub fn is_template(&self) -> bool {
        self.chart.is_some() && self.text.contains("{{")
    }
}

/// What to say of templates that are left out: one note for each chart.
pub fn notes_on_charts(templates: &[Input]) -> Vec<String> {
    let mut charts: BTreeMap<&Path, usize> = BTreeMap::new();
    for chart in templates.iter().filter_map(|input| input.chart.as_deref()) {
        *charts.entry(chart).or_default() += 1;
    }
    let note = |(chart, count): (&Path, usize)| {
        let chart = chart.display();
        let templates = match count {
            1 => "1 template is".to_owned(),
            _ => format!("{count} templates are"),
        };
        format!(
            "{chart}: {templates} left out, as a Helm chart is no YAML before it is rendered: \
             `helm template {chart} | backlog-scaler check -` checks what it makes"
        )
    };
    charts.into_iter().map(note).collect()
}

/// A dump of a large cluster has tens of megabytes.
const LARGEST: u64 = 128 << 20;
const LARGEST_TOGETHER: usize = 512 << 20;
const MOST_FILES: usize = 20_000;
const DEEPEST: usize = 32;

/// Reads files, the manifests in folders and all below them, and stdin for `-`. In a folder, these are
/// the files that end in `.yaml`, `.yml` or `.json`; what begins with a dot is left out, and links to
/// folders are not followed.
pub fn collect(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => {
                let mut found = Vec::new();
                walk(path, &mut found, DEEPEST)?;
                if found.is_empty() {
                    let what = format!("{}: holds no .yaml, .yml or .json file", path.display());
                    return Err(Error::new(Kind::Invalid, what, ""));
                }
                files.extend(found.into_iter().map(|path| (path, true)));
            }
            false => files.push((path.clone(), false)),
        }
    }
    if files.len() > MOST_FILES {
        let what = format!("{} files are more than {MOST_FILES}", files.len());
        return Err(Error::new(Kind::Invalid, what, "Name fewer folders."));
    }
    let mut inputs = Vec::new();
    let mut bytes = 0;
    for (path, in_folder) in files {
        let input = read(path, in_folder)?;
        bytes += input.text.len();
        if bytes > LARGEST_TOGETHER {
            let what = format!("the files have more than {} MiB", LARGEST_TOGETHER >> 20);
            return Err(Error::new(Kind::Invalid, what, "Name fewer folders."));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<()> {
    let failed = |error| unreadable(&folder.display().to_string(), error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push((entry.path(), kind.is_dir()));
        }
    }
    paths.sort();
    for (path, is_folder) in paths {
        if is_folder && depth > 0 && files.len() <= MOST_FILES {
            walk(&path, files, depth - 1)?;
        } else if is_manifest(&path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn read(path: PathBuf, in_folder: bool) -> Result<Input> {
    let is_stdin = path.as_os_str() == "-";
    let name = match is_stdin {
        true => "stdin".to_owned(),
        false => path.display().to_string(),
    };
    let read = match is_stdin {
        true => bounded(std::io::stdin().lock()),
        false => fs::File::open(&path).and_then(bounded),
    };
    let bytes = read.map_err(|error| unreadable(&name, error))?;
    if bytes.len() as u64 > LARGEST {
        let what = format!("{name}: has more than {} MiB", LARGEST >> 20);
        return Err(Error::new(Kind::Invalid, what, "Split it."));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let what = format!("{name}: is not text in UTF-8, as byte {at} shows");
        Error::new(Kind::Invalid, what, "")
    })?;
    let chart = match in_folder {
        true => chart_of(&path),
        false => None,
    };
    Ok(Input {
        name,
        chart,
        path: (!is_stdin).then_some(path),
        text,
        in_folder,
    })
}

/// The folder of the Helm chart that a file is a template of: `templates` is beside its Chart.yaml.
fn chart_of(path: &Path) -> Option<PathBuf> {
    let templates = path
        .ancestors()
        .skip(1)
        .filter(|folder| folder.file_name().is_some_and(|name| name == "templates"));
    let mut charts = templates.filter_map(Path::parent);
    let chart = charts.find(|chart| chart.join("Chart.yaml").is_file())?;
    Some(match chart.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => chart.to_owned(),
    })
}

fn bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(name: &str, error: std::io::Error) -> Error {
    Error::new(Kind::Invalid, format!("cannot read {name}: {error}"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_manifests_and_those_below_it() {
        let folder = tempfile::tempdir().expect("is writable");
        let root = folder.path();
        for (path, text) in [
            ("b.yaml", "b: 1"),
            ("a/c.yml", "c: 1"),
            ("a/d.json", "{}"),
            ("a/e.txt", "e"),
            (".git/f.yaml", "f: 1"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("is writable");
            fs::write(path, text).expect("is writable");
        }
        std::os::unix::fs::symlink(root, root.join("loop")).expect("is writable");
        let inputs = collect(&[root.to_owned()]).expect("is readable");
        let texts: Vec<&str> = inputs.iter().map(|input| input.text.as_str()).collect();
        assert_eq!(texts, ["c: 1", "{}", "b: 1"]);

        assert!(inputs.iter().all(|input| input.chart.is_none()));

        let empty = root.join("empty");
        fs::create_dir(&empty).expect("is writable");
        for bad in [empty, root.join("missing.yaml")] {
            let error = collect(&[bad]).err().expect("is no manifest");
            assert_eq!(error.kind(), Kind::Invalid, "{error}");
        }
    }

    #[test]
    fn templates_of_a_chart_are_known() {
        let folder = tempfile::tempdir().expect("is writable");
        let root = folder.path();
        for (path, text) in [
            ("chart/Chart.yaml", "apiVersion: v2\nname: chart"),
            ("chart/templates/a.yaml", "a: {{ .Values.a }}"),
            ("chart/templates/tests/b.yaml", "b: {{ .Values.b }}"),
            ("chart/templates/plain.yaml", "c: 1"),
            ("chart/values.yaml", "d: '{{ d }}'"),
            ("templates/e.yaml", "e: {{ of another tool }}"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("is writable");
            fs::write(path, text).expect("is writable");
        }
        let templates = |path: &Path| -> Vec<Input> {
            let inputs = collect(&[path.to_owned()]).expect("is readable");
            inputs.into_iter().filter(Input::is_template).collect()
        };
        let of_root = templates(root);
        let texts: Vec<&str> = of_root.iter().map(|input| input.text.as_str()).collect();
        assert_eq!(texts, ["a: {{ .Values.a }}", "b: {{ .Values.b }}"]);
        let chart = root.join("chart");
        let note = format!("{}: 2 templates are left out", chart.display());
        let notes = notes_on_charts(&of_root);
        assert!(notes.len() == 1 && notes[0].starts_with(&note), "{notes:?}");
        assert_eq!(templates(&chart.join("templates/tests")).len(), 1);
        // One that is named is no find: whoever names it means it.
        assert!(templates(&chart.join("templates/a.yaml")).is_empty());
    }
}

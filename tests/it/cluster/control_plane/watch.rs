//! Watches of Deployments and HPAs in all namespaces: what a scenario waits for is seen as it
//! happens, and costs the API server nothing more.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
};

use testkit::process;

use super::Kubectl;

/// Numbers of replicas.
pub type Replicas = u32;

/// What was seen last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// That exist, by the Deployment's status.
    pub replicas: Replicas,
    /// That KEDA or the HPA decided on, by the Deployment's spec.
    pub decided: Replicas,
    /// That the HPA wants; nothing before there is one.
    pub wanted: Option<Replicas>,
}

type All = Arc<Mutex<HashMap<String, Seen>>>;

pub struct Watches {
    all: All,
    children: Vec<Child>,
}

impl Watches {
    pub fn start(kubectl: &Kubectl) -> Self {
        let all = All::default();
        let numbers = [".status.replicas", ".spec.replicas"];
        let deployments = watch(kubectl, "deployments", numbers, &all, |seen, numbers| {
            [seen.replicas, seen.decided] = numbers.map(Option::unwrap_or_default);
        });
        let numbers = [".status.desiredReplicas"];
        let hpas = watch(kubectl, "hpa", numbers, &all, |seen, [wanted]| {
            seen.wanted = wanted;
        });
        Watches {
            all,
            children: vec![deployments, hpas],
        }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Seen {
        let all = self.all.lock().unwrap();
        let seen = all.get(&format!("{namespace}/{name}"));
        seen.copied().unwrap_or_default()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for child in &mut self.children {
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                eprintln!("a watch was not killed: {error}");
            }
        }
    }
}

fn watch<const N: usize>(
    kubectl: &Kubectl,
    kind: &str,
    numbers: [&str; N],
    all: &All,
    keep: fn(&mut Seen, [Option<Replicas>; N]),
) -> Child {
    // An HPA of KEDA's has the name of its ScaledObject in a label.
    let name = "{.metadata.labels.scaledobject\\.keda\\.sh/name}";
    let numbers = numbers.map(|number| format!("{{{number}}}")).join(" ");
    let format =
        format!("jsonpath={{.metadata.namespace}} {{.metadata.name}} {name} {numbers}{{\"\\n\"}}");
    let mut child = kubectl
        .command(&["get", kind, "-A", "--watch", "-o", &format])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(process::group())
        .spawn()
        .expect("kubectl starts");
    let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let all = all.clone();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            let Some((name, numbers)) = words.split_first_chunk::<3>() else {
                eprintln!("a watch prints {line:?}");
                continue;
            };
            let Ok(numbers) = <[&str; N]>::try_from(numbers) else {
                eprintln!("a watch prints {line:?}");
                continue;
            };
            let name = match *name {
                [namespace, name, ""] => format!("{namespace}/{name}"),
                [namespace, _, scaled_object] => format!("{namespace}/{scaled_object}"),
            };
            let mut all = all.lock().unwrap();
            let seen = all.entry(name).or_default();
            keep(seen, numbers.map(|number| number.parse().ok()));
        }
    });
    child
}

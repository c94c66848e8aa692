//! Commands to look further into a trigger, ready to be copied into a shell.

use super::model::Command;

/// For a trigger of this object, with this metric unless it is refused. They need no more than `kubectl`
/// and this program on the reader's machine.
pub fn commands(namespace: &str, object: &str, metric: Option<&str>) -> Vec<Command> {
    let (in_namespace, object_word) = (quoted(namespace), quoted(object));
    // The server does not know which of both it is.
    let of_object = format!("scaledobject,scaledjob {object_word} --namespace {in_namespace}");
    let command = |shows, command| Command { shows, command };
    let mut commands = vec![
        command(
            "KEDA's view, with its last events",
            format!("kubectl describe {of_object}"),
        ),
        command(
            "A way to this server from your machine, for the next command; its namespace and name may \
             differ",
            "kubectl port-forward --namespace keda deploy/backlog-scaler 9090".to_owned(),
        ),
        command(
            "The value as this server returns it now",
            format!(
                "kubectl get {of_object} --ignore-not-found --output yaml \
                 | backlog-scaler probe - --address 127.0.0.1:9090"
            ),
        ),
    ];
    if metric.is_some() {
        let hpa = quoted(&format!("keda-hpa-{object}"));
        commands.push(command(
            "What the HPA makes of it; a ScaledJob has none",
            format!("kubectl describe hpa {hpa} --namespace {in_namespace}"),
        ));
    }
    commands
}

/// A word of a shell. Names come from whoever calls, and need not be names of Kubernetes.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_command() {
        assert_eq!(quoted("worker-1.a"), "worker-1.a");
        for (name, then) in [
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("a';reboot;'", r"'a'\'';reboot;'\'''"),
            ("-n", "'-n'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(name), then);
        }
    }
}

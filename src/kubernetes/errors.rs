//! Failures of the Kubernetes API in our own words. No text of a response body is repeated, except
//! the message of a status, which names objects and permissions.

use kube::{core::Status, runtime::watcher};
use tokio::time::error::Elapsed;

use super::object::{ObjectId, Resource};
use crate::error::{Error, Kind};

/// What was requested, for errors and metrics.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `get`, `list`, `watch`, `create` or `patch`, as in an RBAC rule.
    pub verb: &'static str,
    pub resource: &'a Resource,
    pub namespace: Option<&'a str>,
    pub name: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub fn of(verb: &'static str, id: &'a ObjectId) -> Self {
        Request {
            verb,
            resource: &id.resource,
            namespace: id.namespace.as_deref(),
            name: Some(&id.name),
        }
    }

    fn place(&self) -> String {
        let what = match self.name {
            Some(name) => format!(
                "{} {}",
                self.resource.kind(),
                qualified(self.namespace, name)
            ),
            None => match self.namespace {
                Some(namespace) => format!("{} in namespace {namespace}", self.resource.plural()),
                None => self.resource.plural().to_owned(),
            },
        };
        format!("Kubernetes API, {} {what}", self.verb)
    }

    /// A response with an error status. `message` is the API server's own.
    pub fn refused(&self, code: u16, message: &str) -> Error {
        match code {
            401 => Error::new(
                Kind::Unauthorized,
                "the API server does not accept the credentials of this server",
                "Check the ServiceAccount's token, or the user of the kubeconfig.",
            ),
            // The admission plug-in NamespaceLifecycle; no permission helps.
            403 if message.contains("because it is being terminated") => {
                Error::new(Kind::NotFound, "the namespace is being deleted", "")
            }
            403 => self.forbidden(message),
            404 => Error::new(
                Kind::NotFound,
                format!("the API server does not know {}", self.resource.qualified()),
                match self.resource.group() {
                    "keda.sh" => "Install KEDA's custom resource definitions (keda.sh/v1alpha1).",
                    _ => "",
                },
            ),
            429 => Error::new(Kind::Exhausted, "the API server limits our requests", ""),
            500.. => Error::new(
                Kind::Unreachable,
                format!("the API server responds with status {code}"),
                "It is usually transient; the request is repeated.",
            ),
            _ => Error::new(
                Kind::Unreadable,
                format!("the API server responds with status {code} ({message})"),
                "",
            ),
        }
        .at(self.place())
    }

    fn forbidden(&self, message: &str) -> Error {
        let (verb, resource) = (self.verb, self.resource.qualified());
        let scope = match self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        let role = match self.namespace {
            Some(_) => "Role or ClusterRole",
            None => "ClusterRole",
        };
        // The message says which user it was; it may be long (an explanation of each authorizer).
        let user = message
            .split('"')
            .skip_while(|part| !part.ends_with("User "))
            .nth(1);
        let user = user.map_or_else(String::new, |user| format!(" for {user}"));
        Error::new(
            Kind::Unauthorized,
            format!("the permission to {verb} {resource} {scope} is missing{user}"),
            format!("Bind a {role} with the verb `{verb}` on `{resource}` to it."),
        )
    }

    /// No response came in time.
    pub fn timed_out(&self) -> Error {
        let what = "the API server does not respond in time";
        Error::new(Kind::TimedOut, what, "").at(self.place())
    }

    /// A response that is not what it should be. Its text may hold secrets: none of it is shown.
    pub fn unreadable(&self, what: &str) -> Error {
        let what = format!("the response {what}");
        Error::new(Kind::Unreadable, what, "").at(self.place())
    }

    /// A request that could not be made of what was given; a defect.
    pub fn unwritten(&self, how: &str) -> Error {
        let what = format!("the request cannot be written {how}");
        Error::new(Kind::Internal, what, "Report this as a defect.").at(self.place())
    }

    /// The client library's error.
    pub fn failed(&self, error: &kube::Error) -> Error {
        use kube::Error as E;
        match error {
            E::Service(error) if error.is::<Elapsed>() => self.timed_out(),
            E::Api(status) => self.refused(status.code, &status.message),
            E::HyperError(_) | E::Service(_) | E::ReadEvents(_) => Error::new(
                Kind::Unreachable,
                format!("the API server cannot be reached ({})", causes(error)),
                "Check its address, the network policies and the certificate authority.",
            )
            .at(self.place()),
            E::Auth(_) => Error::new(
                Kind::Unauthorized,
                "the credentials for the API server cannot be read",
                "Check the ServiceAccount's token, or the user of the kubeconfig.",
            )
            .at(self.place()),
            // Its text may repeat what could not be parsed.
            E::SerdeError(_) | E::FromUtf8(_) => self.unreadable("cannot be parsed"),
            _ => Error::new(Kind::Internal, "the request failed", "").at(self.place()),
        }
    }
}

/// The failure of a watch of a collection: its verb is that of the request that failed.
pub fn of_watcher(error: &watcher::Error, resource: &Resource, namespace: Option<&str>) -> Error {
    let request = |verb| Request {
        verb,
        resource,
        namespace,
        name: None,
    };
    match error {
        watcher::Error::InitialListFailed(error) => request("list").failed(error),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            request("watch").failed(error)
        }
        watcher::Error::WatchError(status) => of_status(request("watch"), status),
        watcher::Error::NoResourceVersion => request("watch").unreadable("has no resource version"),
    }
}

fn of_status(request: Request<'_>, status: &Status) -> Error {
    request.refused(status.code, &status.message)
}

fn qualified(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// The innermost reason of a failed connection, which names what the operating system or TLS says.
fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_named_with_verb_resource_and_namespace() {
        let id = ObjectId::new(Resource::Secrets, Some("shop"), "redis").unwrap();
        let message = "secrets \"redis\" is forbidden: User \"system:serviceaccount:keda:scaler\" \
                       cannot get resource \"secrets\" in API group \"\" in the namespace \"shop\"";
        let error = Request::of("get", &id).refused(403, message);
        assert_eq!(error.kind(), Kind::Unauthorized);
        assert_eq!(
            error.to_string(),
            "Kubernetes API, get Secret shop/redis: the permission to get secrets in namespace shop \
             is missing for system:serviceaccount:keda:scaler. Bind a Role or ClusterRole with the \
             verb `get` on `secrets` to it."
        );
    }

    #[test]
    fn missing_resource_definitions_are_named() {
        let request = Request {
            verb: "list",
            resource: &Resource::ScaledObjects,
            namespace: None,
            name: None,
        };
        let error = request.refused(404, "the server could not find the requested resource");
        assert_eq!(
            error.to_string(),
            "Kubernetes API, list scaledobjects: the API server does not know \
             scaledobjects.keda.sh. Install KEDA's custom resource definitions (keda.sh/v1alpha1)."
        );
    }
}

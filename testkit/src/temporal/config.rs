//! The configuration file of a server.

use std::fmt::Write;

use super::{Builder, Temporal};
use crate::{certs::Identity, process};

impl Builder {
    /// The server's configuration file.
    pub(super) fn config_yaml(&self, server: &Temporal) -> String {
        let database = match self.on_disk {
            true => format!(
                "databaseName: {}, connectAttributes: {{mode: rwc, setup: \"true\"}}",
                server.file("temporal.db").display()
            ),
            false => format!(
                "databaseName: test{}, connectAttributes: {{mode: memory, cache: private}}",
                server.port
            ),
        };
        let service = |name: &str, port: u16| {
            let gossip = process::free_port();
            format!(
                "  {name}: {{rpc: {{grpcPort: {port}, membershipPort: {gossip}, bindOnIP: 127.0.0.1}}}}\n"
            )
        };
        let mut services = service("frontend", server.port);
        for name in ["history", "matching", "worker"] {
            services += &service(name, process::free_port());
        }
        let mut global = format!(
            "  metrics: {{prometheus: {{listenAddress: \"{}\"}}}}\n",
            server.metrics()
        );
        if self.tokens.is_some() {
            services += &service("internal-frontend", process::free_port());
        }
        if let Some((_, certs)) = &self.tls {
            let client_ca = match self.mtls {
                true => format!(
                    ", requireClientAuth: true, clientCaFiles: [{}]",
                    certs.ca.path.display()
                ),
                false => String::new(),
            };
            let client = format!(
                "client: {{serverName: localhost, rootCaFiles: [{}]}}",
                certs.ca.path.display()
            );
            let pair = |identity: &Identity| {
                let (cert, key) = (&identity.cert.path, &identity.key.path);
                format!("certFile: {}, keyFile: {}", cert.display(), key.display())
            };
            write!(
                global,
                "  tls:\n    frontend: {{server: {{{}{client_ca}}}, {client}}}\n    systemWorker: {{{}, {client}}}\n",
                pair(&certs.server),
                pair(&certs.client),
            )
            .expect("text");
        }
        if let Some(tokens) = &self.tokens {
            writeln!(
                global,
                "  authorization: {{authorizer: default, claimMapper: default, permissionsClaimName: permissions, \
                 jwtKeyProvider: {{keySourceURIs: [\"file://{}\"], refreshInterval: 1m}}}}",
                tokens.key_set.display()
            )
            .expect("text");
        }
        format!(
            "log: {{stdout: true, level: warn}}\n\
             persistence:\n  defaultStore: store\n  visibilityStore: store\n  numHistoryShards: 1\n  \
             datastores: {{store: {{sql: {{pluginName: sqlite, {database}, connectAddr: localhost, \
             connectProtocol: tcp, maxConns: 1, maxIdleConns: 1}}}}}}\n\
             global:\n  membership: {{maxJoinDuration: 30s, broadcastAddress: 127.0.0.1}}\n{global}\
             services:\n{services}\
             clusterMetadata: {{enableGlobalNamespace: false, failoverVersionIncrement: 10, \
             masterClusterName: active, currentClusterName: active, clusterInformation: {{active: \
             {{enabled: true, initialFailoverVersion: 1, rpcName: frontend, rpcAddress: \"localhost:{port}\"}}}}}}\n\
             dcRedirectionPolicy: {{policy: noop}}\n\
             archival: {{history: {{state: disabled}}, visibility: {{state: disabled}}}}\n\
             dynamicConfigClient: {{filepath: \"{dynamic}\", pollInterval: 5s}}\n",
            port = server.port,
            dynamic = server.file("dynamic.yaml").display(),
        )
    }
}

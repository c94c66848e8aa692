//! A way to the API server that can be closed, so that for one client it is away.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::cluster::control_plane::ControlPlane;

pub struct Door {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    opened: Arc<AtomicUsize>,
}

impl Door {
    pub async fn to(api_server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let (is_open, open) = watch::channel(true);
        let opened = Arc::new(AtomicUsize::new(0));
        let door = Door {
            address: listener.local_addr().expect("an address"),
            is_open,
            opened: opened.clone(),
        };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut open = open.clone();
                if !*open.borrow_and_update() {
                    continue;
                }
                opened.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(api_server).await.expect("to connect");
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = open.changed() => {}
                    }
                });
            }
        });
        door
    }

    /// Ends all connections, and each new one at once.
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Connections so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// A kubeconfig for the way through here, with the administrator's token or another.
    pub fn kubeconfig(
        &self,
        cluster: &ControlPlane,
        folder: &Path,
        token: Option<&str>,
    ) -> PathBuf {
        let text = std::fs::read_to_string(cluster.kubectl.config()).expect("a kubeconfig");
        let server = format!("https://{}", api_server(cluster));
        assert!(text.contains(&server), "{text}");
        let mut text = text.replace(&server, &format!("https://{}", self.address));
        if let Some(token) = token {
            text = text.replace("token: administrator", &format!("token: {token}"));
        }
        let file = folder.join("kubeconfig");
        std::fs::write(&file, text).expect("a kubeconfig");
        file
    }
}

/// Where the API server listens.
pub fn api_server(cluster: &ControlPlane) -> SocketAddr {
    let text = std::fs::read_to_string(cluster.kubectl.config()).expect("a kubeconfig");
    let (_, rest) = text.split_once("https://").expect("a server");
    let address = rest.split('"').next().expect("an address");
    address.parse().expect("an address and a port")
}

//! A way to the API server that can be closed, so that for one client it is away, or frozen, so that it
//! accepts connections and never responds.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
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
    state: watch::Sender<State>,
    opened: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Frozen,
}

impl Door {
    pub async fn to(api_server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let (state, current) = watch::channel(State::Open);
        let opened = Arc::new(AtomicUsize::new(0));
        let door = Door {
            address: listener.local_addr().expect("an address"),
            state,
            opened: opened.clone(),
        };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut current = current.clone();
                if *current.borrow_and_update() == State::Closed {
                    continue;
                }
                opened.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass(near, api_server, current));
            }
        });
        door
    }

    /// Ends all connections, and each new one at once.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Connections stay, and new ones are accepted, but nothing passes.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    pub fn open(&self) {
        self.state.send_replace(State::Open);
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

/// Passes on what both sides send, as long as the way is open.
async fn pass(mut near: TcpStream, api_server: SocketAddr, mut state: watch::Receiver<State>) {
    let mut far = TcpStream::connect(api_server).await.expect("to connect");
    let mut copied = pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        let current = *state.borrow_and_update();
        tokio::select! {
            _ = &mut copied, if current == State::Open => return,
            changed = state.changed() => match (changed, *state.borrow()) {
                (Ok(()), State::Open | State::Frozen) => {}
                _ => return,
            },
        }
    }
}

/// Where the API server listens.
pub fn api_server(cluster: &ControlPlane) -> SocketAddr {
    let text = std::fs::read_to_string(cluster.kubectl.config()).expect("a kubeconfig");
    let (_, rest) = text.split_once("https://").expect("a server");
    let address = rest.split('"').next().expect("an address");
    address.parse().expect("an address and a port")
}

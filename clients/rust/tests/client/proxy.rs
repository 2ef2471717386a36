//! A TCP proxy whose connections a test can silence or break.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    silent: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    cut: Cut,
    serving: JoinHandle<()>,
}

/// Breaks the open connections.
#[derive(Clone)]
pub(crate) struct Cut(watch::Sender<()>);

impl Cut {
    pub(crate) fn all(&self) {
        self.0.send_replace(());
    }
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let silent = Arc::new(AtomicBool::new(false));
        let opened = Arc::new(AtomicUsize::new(0));
        let cut = Cut(watch::Sender::new(()));
        let (is_silent, count, cuts) = (Arc::clone(&silent), Arc::clone(&opened), cut.clone());
        #[expect(clippy::disallowed_methods, reason = "the proxy aborts it when dropped")]
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                // Only the connections that were open before `silence` are dead; later ones work.
                let dead = (!is_silent.load(Ordering::SeqCst)).then(|| Arc::clone(&is_silent));
                let mut cut = cuts.0.subscribe();
                connections.spawn(async move {
                    tokio::select! {
                        () = forward(client, server, dead) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, silent, opened, cut, serving }
    }

    /// Stops to forward responses on the open connections, and keeps them open.
    pub(crate) fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// The number of connections since the start.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    pub(crate) fn cut(&self) -> Cut {
        self.cut.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn forward(client: TcpStream, server: SocketAddr, dead: Option<Arc<AtomicBool>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut buffer = vec![0; 16_384];
        while let Ok(read) = from_server.read(&mut buffer).await {
            let silent = dead.as_ref().is_some_and(|dead| dead.load(Ordering::SeqCst));
            if read == 0 || !silent && to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(up, down).0.map(drop).unwrap_or_default();
}

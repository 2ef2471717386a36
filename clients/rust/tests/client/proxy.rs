//! A proxy between a client and a server, whose connections fall silent or break.

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

/// Breaks the connections that there are.
#[derive(Clone)]
pub(crate) struct Cut(watch::Sender<()>);

impl Cut {
    pub(crate) fn all(&self) {
        self.0.send_replace(());
    }
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let silent = Arc::new(AtomicBool::new(false));
        let opened = Arc::new(AtomicUsize::new(0));
        let cut = Cut(watch::Sender::new(()));
        let (quiet, count, cuts) = (Arc::clone(&silent), Arc::clone(&opened), cut.clone());
        #[expect(clippy::disallowed_methods, reason = "it is aborted with its owner")]
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                // Those that come while it is silent get through: it is the old ones that are dead.
                let dead = (!quiet.load(Ordering::SeqCst)).then(|| Arc::clone(&quiet));
                let mut cut = cuts.0.subscribe();
                connections.spawn(async move {
                    tokio::select! {
                        () = forward(caller, server, dead) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, silent, opened, cut, serving }
    }

    /// From now on nothing comes to the callers that are connected, and they stay connected.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// How many connections were opened so far.
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

async fn forward(caller: TcpStream, server: SocketAddr, dead: Option<Arc<AtomicBool>>) {
    let Ok(callee) = TcpStream::connect(server).await else { return };
    let ((mut from_caller, mut to_caller), (mut from_callee, mut to_callee)) =
        (caller.into_split(), callee.into_split());
    let up = tokio::io::copy(&mut from_caller, &mut to_callee);
    let down = async {
        let mut buffer = vec![0; 16_384];
        while let Ok(read) = from_callee.read(&mut buffer).await {
            let silent = dead.as_ref().is_some_and(|dead| dead.load(Ordering::SeqCst));
            if read == 0 || !silent && to_caller.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(up, down).0.map(drop).unwrap_or_default();
}

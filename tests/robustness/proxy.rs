//! A TCP proxy in front of the server that injects network faults: stalls, throttling and cuts, also within a frame.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the proxy forwards bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyMode {
    Forward,
    /// No bytes pass in either direction, and connections stay open.
    Stalled,
    /// This many bytes pass at once, then none for [`TICK`].
    Throttled(usize),
    /// Half of the next chunk passes, then the connection is closed.
    CutMidChunk,
}

/// The pause of a throttled connection after each write.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
struct State {
    mode: ProxyMode,
    /// Number of calls to [`Proxy::cut`]. A connection closes when it changes.
    cuts: u64,
}

/// A running proxy. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The address that the proxy listens on.
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy in front of `server`.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind to a free port");
        let address = listener.local_addr().expect("the listener has an address");
        let state = watch::Sender::new(State { mode: ProxyMode::Forward, cuts: 0 });
        let observed = state.subscribe();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                if let Ok((client, _)) = listener.accept().await {
                    connections.spawn(forward(client, server, observed.clone()));
                }
            }
        });
        Self { address, state, _serving: serving }
    }

    /// Changes the mode of all connections.
    pub(crate) fn set(&self, mode: ProxyMode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Closes all present connections. The proxy still accepts new ones.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

/// Forwards one connection until a peer closes it or the proxy cuts it.
async fn forward(client: TcpStream, server: SocketAddr, mut state: watch::Receiver<State>) {
    let cuts_before = state.borrow_and_update().cuts;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let cut = state.clone();
    tokio::select! {
        _ = async {
            tokio::try_join!(copy(client_in, server_out, state.clone()), copy(server_in, client_out, state))
        } => {}
        () = await_cut(cut, cuts_before) => {}
    }
}

/// Waits for a cut, or until the proxy is dropped.
async fn await_cut(mut state: watch::Receiver<State>, cuts_before: u64) {
    let _ = state.wait_for(|state| state.cuts != cuts_before).await;
}

/// Copies bytes in one direction. Fails if the connection must be closed.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        state.wait_for(|state| state.mode != ProxyMode::Stalled).await.map_err(|_| broken_pipe())?;
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            changed = state.changed() => {
                changed.map_err(|_| broken_pipe())?;
                continue;
            }
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let mode = state.borrow().mode;
        match mode {
            // Bytes that were read before the stall still arrive.
            ProxyMode::Forward | ProxyMode::Stalled => to.write_all(&buffer[..read]).await?,
            ProxyMode::Throttled(bytes) => {
                for part in buffer[..read].chunks(bytes) {
                    to.write_all(part).await?;
                    if state.borrow().mode == mode {
                        tokio::time::sleep(TICK).await;
                    }
                }
            }
            ProxyMode::CutMidChunk => {
                to.write_all(&buffer[..read.div_ceil(2)]).await?;
                return Err(broken_pipe());
            }
        }
    }
}

fn broken_pipe() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

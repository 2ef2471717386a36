//! A bad line between somebody and the server: it stalls, it is slow, it is cut, in the middle of a frame if need be.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the line is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Clear,
    /// Nothing goes either way, and nobody is told.
    Stalled,
    /// So many bytes go at once, and then none for [`TICK`].
    Slow(usize),
    /// Of what comes next, one part goes, and then the line is cut.
    CutHalfway,
}

/// How long a slow line rests.
const TICK: Duration = Duration::from_millis(10);

/// How the line is, and how often it was cut.
#[derive(Clone, Copy, Debug)]
struct State {
    line: Line,
    cuts: u64,
}

/// A line, as long as it lives.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where to connect to.
    pub(crate) at: SocketAddr,
    state: watch::Sender<State>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Lays a line.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State { line: Line::Clear, cuts: 0 });
        let watched = state.subscribe();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                while links.try_join_next().is_some() {}
                if let Ok((near, _)) = listener.accept().await {
                    links.spawn(link(near, server, watched.clone()));
                }
            }
        });
        Self { at, state, _serving: serving }
    }

    /// Makes the line so from now on.
    pub(crate) fn set(&self, line: Line) {
        self.state.send_modify(|state| state.line = line);
    }

    /// Cuts all connections that there are. New ones may come.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

/// Carries one connection, until an end closes it or it is cut.
async fn link(near: TcpStream, server: SocketAddr, mut state: watch::Receiver<State>) {
    let born = state.borrow_and_update().cuts;
    let Ok(far) = TcpStream::connect(server).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let cut = state.clone();
    tokio::select! {
        _ = async { tokio::try_join!(carry(near_in, far_out, state.clone()), carry(far_in, near_out, state)) } => {}
        () = is_cut(cut, born) => {}
    }
}

/// Waits until the line is cut, or is no more.
async fn is_cut(mut state: watch::Receiver<State>, born: u64) {
    let _ = state.wait_for(|state| state.cuts != born).await;
}

/// Carries bytes one way. Fails where the connection must not go on.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        state.wait_for(|state| state.line != Line::Stalled).await.map_err(|_| gone())?;
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            changed = state.changed() => {
                changed.map_err(|_| gone())?;
                continue;
            }
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let line = state.borrow().line;
        match line {
            // What was under way when it stalled still arrives.
            Line::Clear | Line::Stalled => to.write_all(&buffer[..read]).await?,
            Line::Slow(bytes) => {
                for part in buffer[..read].chunks(bytes) {
                    to.write_all(part).await?;
                    if state.borrow().line == line {
                        tokio::time::sleep(TICK).await;
                    }
                }
            }
            Line::CutHalfway => {
                to.write_all(&buffer[..read.div_ceil(2)]).await?;
                return Err(gone());
            }
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

//! The port of one provider: accepts, refuses and drops connections.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::connection_flags::ConnectionFlags;
use super::endpoint::ListenerCommand;
use super::exchange::Exchange;

/// The pause after a failed `accept`. The cause is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The tokens that stop all parts of a sandbox. `kill` implies `graceful`.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Finish what has begun, and begin nothing new.
    pub(super) graceful: CancellationToken,
    /// Drop everything.
    pub(super) kill: CancellationToken,
}

/// A bound port that stays reserved while it refuses connections.
#[derive(Debug)]
pub(super) struct BoundPort {
    address: SocketAddr,
    listener: TcpListener,
    /// A socket that is bound to the same port and never listens, so no other process gets the port while the listener
    /// is closed. Only Linux lets two sockets share a port in this way.
    _reservation: Option<TcpSocket>,
}

impl BoundPort {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let reservation = if cfg!(target_os = "linux") { Some(bound(address)?) } else { None };
        let address = match &reservation {
            Some(socket) => socket.local_addr()?,
            None => address,
        };
        let listener = listen(address)?;
        Ok(Self { address: listener.local_addr()?, listener, _reservation: reservation })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(1024)
}

/// The loop that accepts connections for one provider.
#[derive(Debug)]
pub(super) struct AcceptLoop {
    address: SocketAddr,
    listener: Option<TcpListener>,
    _reservation: Option<TcpSocket>,
    exchange: Arc<Exchange>,
    stop: Stop,
    connections: TaskTracker,
    cut: CancellationToken,
}

impl AcceptLoop {
    pub(super) fn new(port: BoundPort, exchange: Exchange, stop: Stop) -> Self {
        Self {
            address: port.address,
            listener: Some(port.listener),
            _reservation: port._reservation,
            exchange: Arc::new(exchange),
            cut: stop.kill.child_token(),
            stop,
            connections: TaskTracker::new(),
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<ListenerCommand>) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.graceful.cancelled() => break,
                Some(command) = commands.recv() => self.execute(command).await,
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(stream) => self.spawn_connection(stream),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        self.listener = None;
        self.connections.close();
        self.connections.wait().await;
    }

    async fn execute(&mut self, command: ListenerCommand) {
        match command {
            ListenerCommand::Close(done) => {
                self.listener = None;
                self.cut.cancel();
                self.connections.close();
                self.connections.wait().await;
                self.cut = self.stop.kill.child_token();
                self.connections = TaskTracker::new();
                let _ = done.send(());
            }
            ListenerCommand::Open(done) => {
                let opened = match self.listener {
                    Some(_) => Ok(()),
                    None => listen(self.address).map(|listener| self.listener = Some(listener)),
                };
                let _ = done.send(opened);
            }
        }
    }

    fn spawn_connection(&self, stream: TcpStream) {
        let exchange = self.exchange.clone();
        let (graceful, cut) = (self.stop.graceful.clone(), self.cut.clone());
        self.connections.spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                () = serve_connection(stream, exchange, graceful) => {}
            }
        });
    }
}

/// Serves one connection to its end.
async fn serve_connection(stream: TcpStream, exchange: Arc<Exchange>, graceful: CancellationToken) {
    // Replies are small and are sent at once. A socket that rejects the option still works.
    let _ = stream.set_nodelay(true);
    let flags = Arc::new(ConnectionFlags::default());
    let io = Connection::new(stream, exchange.clone(), flags.clone());
    let service = service_fn(move |request| {
        let (exchange, flags) = (exchange.clone(), flags.clone());
        async move { exchange.answer(&flags, request).await }
    });
    let mut served = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(io), service));
    // The result of the connection is ignored, because faults cut connections on purpose. The client sees how it ended.
    tokio::select! {
        _ = served.as_mut() => {}
        () = graceful.cancelled() => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => future::pending().await,
    }
}

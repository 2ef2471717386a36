package switchboard.client;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** A TCP proxy that disturbs connections. */
final class Proxy implements AutoCloseable {
    /** The behavior of a connection. */
    interface Behavior {
        /** Called on the connection's own thread, which ends after it. */
        void handle(Proxy proxy, Socket client) throws IOException;

        /** Forwards all data. */
        Behavior FORWARD = Proxy::forward;
        /** Accepts the connection and stays silent. */
        Behavior SILENCE = (proxy, client) -> client.getInputStream().transferTo(OutputStream.nullOutputStream());
        /** Closes the connection at once. */
        Behavior CLOSE = (proxy, client) -> client.close();

        /** Resets the first stream with an HTTP/2 code. */
        static Behavior reset(int code) {
            return (proxy, client) -> resetFirstStream(client, code);
        }
    }

    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();
    private final List<Behavior> behaviors;
    private final int target;
    private final AtomicInteger connections = new AtomicInteger();
    private volatile boolean frozen;

    /** Connections get these behaviors in turn. All later connections get the last one. */
    Proxy(int target, Behavior... behaviors) throws IOException {
        this.target = target;
        this.behaviors = List.of(behaviors);
        background(() -> {
            while (true) {
                Socket client = keep(listener.accept());
                int number = connections.incrementAndGet();
                Behavior behavior = this.behaviors.get(Math.min(number, this.behaviors.size()) - 1);
                background(() -> behavior.handle(this, client));
            }
        });
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    int connections() {
        return connections.get();
    }

    /** Makes the existing connections silent without closing them. */
    void freeze() {
        frozen = true;
    }

    private void forward(Socket client) throws IOException {
        Socket server = keep(new Socket(InetAddress.getLoopbackAddress(), target));
        int number = connections.get();
        background(() -> pump(server, client, number));
        pump(client, server, number);
    }

    private void pump(Socket from, Socket to, int number) throws IOException {
        byte[] buffer = new byte[16 * 1024];
        InputStream in = from.getInputStream();
        for (int n; (n = in.read(buffer)) >= 0; ) {
            if (!frozen || number != 1) {
                to.getOutputStream().write(buffer, 0, n);
            }
        }
        to.close();
    }

    /** Implements the minimum of HTTP/2 for a reset. */
    private static void resetFirstStream(Socket client, int code) throws IOException {
        DataInputStream in = new DataInputStream(client.getInputStream());
        OutputStream out = client.getOutputStream();
        in.readNBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length());
        out.write(new byte[] {0, 0, 0, 4, 0, 0, 0, 0, 0}); // SETTINGS
        while (true) {
            int length = in.readUnsignedByte() << 16 | in.readUnsignedShort();
            int type = in.readUnsignedByte();
            int flags = in.readUnsignedByte();
            int stream = in.readInt();
            in.readNBytes(length);
            if (type == 4 && (flags & 1) == 0) {
                out.write(new byte[] {0, 0, 0, 4, 1, 0, 0, 0, 0}); // SETTINGS, acknowledged
            } else if (type == 1) {
                out.write(new byte[] {0, 0, 4, 3, 0, 0, 0, 0, (byte) stream, 0, 0, 0, (byte) code}); // RST_STREAM
            }
            out.flush();
        }
    }

    private Socket keep(Socket socket) {
        sockets.add(socket);
        return socket;
    }

    private interface Work {
        void run() throws IOException;
    }

    private static void background(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (IOException e) {
                // The peer has closed the connection.
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public void close() throws IOException {
        listener.close();
        for (Socket socket : sockets) {
            socket.close();
        }
    }
}

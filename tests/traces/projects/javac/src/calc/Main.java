package calc;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

/** Threads, files, a child process and a loopback server, as build tools use them. */
public final class Main {
    public static void main(String[] args) throws Exception {
        var pool = Executors.newFixedThreadPool(4);
        var sums = pool.invokeAll(List.<Callable<Long>>of(() -> Sum.to(1000), () -> Sum.to(2000), () -> Sum.to(3000)));
        long total = 0;
        for (var sum : sums) {
            total += sum.get();
        }
        pool.shutdown();

        Path folder = Files.createTempDirectory(Path.of("."), "work");
        try (var watcher = folder.getFileSystem().newWatchService()) {
            folder.register(watcher, StandardWatchEventKinds.ENTRY_CREATE);
            Path file = Files.writeString(folder.resolve("a.txt"), "total " + total);
            if (watcher.take().pollEvents().isEmpty()) {
                throw new IllegalStateException("no event");
            }
            try (var channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
                    var lock = channel.lock()) {
                var mapped = channel.map(FileChannel.MapMode.READ_WRITE, 0, channel.size());
                mapped.put(0, (byte) 'T');
                mapped.force();
                channel.force(true);
            }
            Files.move(file, folder.resolve("b.txt"));
            Files.copy(folder.resolve("b.txt"), folder.resolve("c.txt"));
        }
        try (var server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            var client = new Thread(() -> {
                try (var socket = new Socket(server.getInetAddress(), server.getLocalPort())) {
                    socket.getOutputStream().write(42);
                } catch (java.io.IOException error) {
                    throw new java.io.UncheckedIOException(error);
                }
            });
            client.start();
            try (var socket = server.accept()) {
                if (socket.getInputStream().read() != 42) {
                    throw new IllegalStateException("wrong byte");
                }
            }
            client.join();
        }
        var child = new ProcessBuilder("sh", "-c", "cat; exit 3").redirectErrorStream(true).start();
        child.getOutputStream().close();
        if (child.waitFor() != 3) {
            throw new IllegalStateException("wrong exit code");
        }
        System.out.println(total + " " + IntStream.range(0, 100000).parallel().mapToLong(n -> n).sum());
    }
}

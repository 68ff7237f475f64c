import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Threads {
    static long hot(long seed) {
        long sum = 0;
        for (int i = 0; i < 10_000; i++) { seed = seed * 6364136223846793005L + 1442695040888963407L; sum ^= seed >>> 33; }
        return sum;
    }

    public static void main(String[] words) throws Exception {
        ExecutorService pool = words.length > 0
            ? (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null)
            : Executors.newFixedThreadPool(50);
        AtomicLong sum = new AtomicLong();
        for (int i = 0; i < 1000; i++) {
            final int n = i;
            pool.submit(() -> { Thread.sleep(5); for (int k = 0; k < 100; k++) sum.addAndGet(k); return n; });
        }
        pool.shutdown();
        if (!pool.awaitTermination(60, TimeUnit.SECONDS)) throw new IllegalStateException("tasks hang");
        long all = java.util.stream.LongStream.range(0, 20_000).parallel().map(Threads::hot).reduce(0, (a, b) -> a ^ b);
        System.out.println("sum " + sum.get() + " hot " + all);
    }
}

// java_program.java - the program of java.sh: `all` does what threads do, the other words end it in some way.

import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.LongStream;

class Program {
	interface Body {
		void run(int k) throws Exception;
	}

	static void say(String what, Object value) {
		System.out.println(what + " " + value);
	}

	/** Threads 0 to n - 1 of it, all ended. */
	static void threads(int n, long stack, Body body) throws Exception {
		Thread[] t = new Thread[n];
		for (int i = 0; i < n; i++) {
			final int k = i;
			t[i] = new Thread(null, () -> {
				try {
					body.run(k);
				} catch (Exception e) {
					say("thread", e);
				}
			}, "t" + i, stack);
			t[i].start();
		}
		for (Thread x : t)
			x.join();
	}

	static int shared;

	static void monitors() throws Exception {
		CountDownLatch all = new CountDownLatch(2000); // so all live at once
		Object lock = new Object();
		threads(2000, 256 * 1024, k -> {
			all.countDown();
			all.await();
			for (int i = 0; i < 20; i++)
				synchronized (lock) {
					shared++;
				}
		});
		say("monitors", shared);
		int[] turn = {0}, sum = {0};
		threads(8, 0, k -> {
			for (int r = 0; r < 300; r++)
				synchronized (turn) {
					while (turn[0] != k)
						turn.wait();
					sum[0] += k;
					turn[0] = (k + 1) % 8;
					turn.notifyAll();
				}
		});
		say("wait and notify", sum[0]);
		AtomicInteger hops = new AtomicInteger(), next = new AtomicInteger();
		Thread[] two = new Thread[2];
		for (int i = 0; i < 2; i++) {
			final int k = i;
			two[i] = new Thread(() -> {
				for (int r = 0; r < 3000; r++) {
					while (next.get() != k)
						LockSupport.park();
					hops.incrementAndGet();
					next.set(1 - k);
					LockSupport.unpark(two[1 - k]);
				}
			});
		}
		for (Thread t : two)
			t.start();
		for (Thread t : two)
			t.join();
		say("park", hops);
	}

	static void interrupts() throws Exception {
		AtomicInteger n = new AtomicInteger();
		CountDownLatch ready = new CountDownLatch(40);
		List<Thread> list = new ArrayList<>();
		for (int i = 0; i < 40; i++) {
			final int k = i % 4;
			Thread t = new Thread(() -> {
				try {
					ready.countDown();
					if (k == 0)
						Thread.sleep(100000);
					else if (k == 1)
						synchronized (Thread.currentThread()) {
							for (;;)
								Thread.currentThread().wait();
						}
					else if (k == 2)
						new LinkedBlockingQueue<Integer>().take();
					else
						Pipe.open().source().read(ByteBuffer.allocate(1));
				} catch (InterruptedException | ClosedByInterruptException e) {
					n.incrementAndGet();
				} catch (IOException e) {
					say("interrupts", e);
				}
			});
			t.start();
			list.add(t);
		}
		ready.await();
		for (Thread t : list) {
			t.interrupt();
			t.join();
		}
		say("interrupts", n);
	}

	static class Fib extends RecursiveTask<Integer> {
		final int n;

		Fib(int n) {
			this.n = n;
		}

		protected Integer compute() {
			if (n < 2)
				return n;
			Fib a = new Fib(n - 1);
			a.fork();
			return new Fib(n - 2).compute() + a.join();
		}
	}

	static void pools() throws Exception {
		say("fork and join", new ForkJoinPool(8).invoke(new Fib(20)));
		ExecutorService pool = Executors.newFixedThreadPool(32);
		List<Future<Integer>> futures = new ArrayList<>();
		for (int i = 0; i < 2000; i++) {
			final int k = i;
			futures.add(pool.submit(() -> k * 2));
		}
		long sum = 0;
		for (Future<Integer> f : futures)
			sum += f.get();
		pool.shutdown();
		say("executor", sum + " " + pool.awaitTermination(20, TimeUnit.SECONDS));
		ScheduledExecutorService timed = Executors.newScheduledThreadPool(4);
		CountDownLatch ticks = new CountDownLatch(20);
		timed.scheduleAtFixedRate(ticks::countDown, 1, 2, TimeUnit.MILLISECONDS);
		ticks.await();
		timed.shutdownNow();
		say("stream", LongStream.range(0, 1000000).parallel().map(x -> x ^ 5).sum());
	}

	static int depth;

	static void forever() {
		depth++;
		forever();
	}

	static int overflow() {
		try {
			forever();
		} catch (StackOverflowError e) {
			return 1;
		}
		return 0;
	}

	/** What the virtual machine makes of SIGSEGV and SIGFPE. */
	static void faults() throws Exception {
		AtomicInteger deep = new AtomicInteger();
		for (int i = 0; i < 3; i++)
			deep.addAndGet(overflow());
		threads(6, 0, k -> deep.addAndGet(overflow()));
		threads(6, 512 * 1024, k -> deep.addAndGet(overflow()));
		String none = System.nanoTime() == 0 ? "x" : null;
		int nulls = 0, zeros = 0, zero = 0;
		for (int i = 0; i < 20000; i++) {
			try {
				nulls += none.length();
			} catch (NullPointerException e) {
				nulls++;
			}
			try {
				zeros += i / zero;
			} catch (ArithmeticException e) {
				zeros++;
			}
		}
		say("faults", deep + " " + nulls + " " + zeros);
	}

	static void children() throws Exception {
		String[] seen = new String[8];
		threads(8, 0, k -> {
			Process p = new ProcessBuilder("sh", "-c", "read x; echo got $x; exit " + k).start();
			p.getOutputStream().write(("v" + k + "\n").getBytes());
			p.getOutputStream().close();
			seen[k] = new BufferedReader(new InputStreamReader(p.getInputStream())).readLine() + " " + p.waitFor();
		});
		Process p = new ProcessBuilder("sleep", "100").start();
		boolean ended = p.waitFor(20, TimeUnit.MILLISECONDS);
		p.destroy();
		say("children", Arrays.toString(seen) + " " + ended + " " + p.waitFor());
	}

	static void sockets() throws Exception {
		InetAddress here = InetAddress.getLoopbackAddress();
		ServerSocket server = new ServerSocket(0, 100, here);
		Thread accepting = new Thread(() -> {
			try {
				for (;;) {
					Socket s = server.accept();
					new Thread(() -> {
						try (s) {
							for (int b; (b = s.getInputStream().read()) >= 0;)
								s.getOutputStream().write(b);
						} catch (IOException e) {
							say("echo", e);
						}
					}).start();
				}
			} catch (IOException e) {
				say("accept", e.getMessage());
			}
		});
		accepting.start();
		AtomicInteger good = new AtomicInteger();
		threads(20, 0, k -> {
			try (Socket s = new Socket(here, server.getLocalPort())) {
				for (int i = 0; i < 50; i++) {
					s.getOutputStream().write(i);
					if (s.getInputStream().read() == i)
						good.incrementAndGet();
				}
			}
		});
		server.close();
		accepting.join();
		say("sockets", good);
	}

	static volatile Object kept;

	static void garbage() throws Exception {
		long[] sums = new long[12];
		threads(12, 0, k -> {
			Map<Integer, byte[]> map = new HashMap<>();
			Random random = new Random(k);
			for (int i = 0; i < 20000; i++) {
				byte[] old = map.put(random.nextInt(4000), new byte[random.nextInt(900)]);
				sums[k] += old == null ? 0 : old.length;
				kept = new int[10];
				if (i == k * 1000)
					System.gc();
			}
		});
		say("garbage", Arrays.toString(sums));
	}

	public static void main(String[] args) throws Exception {
		Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("the end")));
		switch (args[0]) {
		case "all":
			monitors();
			interrupts();
			pools();
			faults();
			children();
			sockets();
			System.exit(7);
		case "garbage":
			garbage();
			break;
		case "exception":
			Thread t = new Thread(() -> { throw new IllegalStateException("of a thread"); });
			t.setUncaughtExceptionHandler((x, e) -> say("uncaught", e.getMessage()));
			t.start();
			t.join();
			throw new RuntimeException("of main");
		default: // until a signal
			Thread waiter = new Thread(() -> {
				synchronized (args) {
					try {
						args.wait();
					} catch (InterruptedException e) {
						say("waiter", e);
					}
				}
			}, "waiter-" + args[0]);
			waiter.start();
			say("up", "");
			waiter.join();
		}
	}
}

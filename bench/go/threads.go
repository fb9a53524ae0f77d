// threads MODE [N]: the modes of bench/threads.c as a Go programmer writes them, with the same names
// of figures, so that bench/run sets them side by side.  Goroutines for threads, a WaitGroup for join,
// an unbuffered channel for mutex and condition, a channel of one for a semaphore.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const batch = 1000

func die(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "threads.go: "+format+"\n", args...)
	os.Exit(1)
}

func mustEqual(got, want int64, what string) {
	if got != want {
		die("%s: %d instead of %d", what, got, want)
	}
}

func budget() time.Duration {
	if ms, err := strconv.Atoi(os.Getenv("BENCH_MS")); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return 400 * time.Millisecond
}

// calibrate runs once(n) with a growing n until it lasts the budget; it returns nanoseconds per n.
func calibrate(once func(n int64), n, given int64) float64 {
	want := budget()
	if given > 0 {
		n, want = given, 0
	}
	for {
		begin := time.Now()
		once(n)
		took := time.Since(begin)
		if took >= want {
			return float64(took.Nanoseconds()) / float64(n)
		}
		grow := 1.2 * float64(want) / float64(took+1)
		if grow < 1.5 {
			grow = 1.5
		} else if grow > 100 {
			grow = 100
		}
		n = int64(float64(n) * grow)
	}
}

var yieldLast int32

func modeYield(given int64) {
	var switches float64
	perCall := calibrate(func(n int64) {
		var wg sync.WaitGroup
		var gate sync.WaitGroup
		var count [2]int64
		gate.Add(2)
		for me := int32(0); me < 2; me++ {
			wg.Add(1)
			go func(me int32) {
				var mine int64
				gate.Done()
				gate.Wait()
				for i := int64(0); i < n; i++ {
					if atomic.LoadInt32(&yieldLast) != me {
						atomic.StoreInt32(&yieldLast, me)
						mine++
					}
					runtime.Gosched()
				}
				count[me] = mine
				wg.Done()
			}(me)
		}
		wg.Wait()
		switches = float64(count[0]+count[1]) / (2 * float64(n))
	}, 1000, given) / 2
	if switches < 0.01 {
		die("yield: only one call in %.0f let the other run", 1/switches)
	}
	fmt.Printf("yield_switch %.1f ns\n", perCall/switches)
	fmt.Printf("yield_call %.1f ns\n", perCall)
}

var ran int64

func modeCreate(given int64) {
	fmt.Printf("create_join %.1f ns\n", calibrate(func(n int64) {
		var wg sync.WaitGroup
		atomic.StoreInt64(&ran, 0)
		for i := int64(0); i < n; i++ {
			wg.Add(1)
			go func() {
				atomic.AddInt64(&ran, 1)
				wg.Done()
			}()
			wg.Wait()
		}
		mustEqual(atomic.LoadInt64(&ran), n, "create: goroutines that ran")
	}, 200, given))
}

func runBatches(given int64) float64 {
	return calibrate(func(n int64) {
		var wg sync.WaitGroup
		atomic.StoreInt64(&ran, 0)
		for b := int64(0); b < n; b++ {
			wg.Add(batch)
			for i := 0; i < batch; i++ {
				go func() {
					atomic.AddInt64(&ran, 1)
					wg.Done()
				}()
			}
			wg.Wait()
		}
		mustEqual(atomic.LoadInt64(&ran), n*batch, "batch: goroutines that ran")
	}, 1, given) / batch
}

func modeBatch(given int64)  { fmt.Printf("batch_join %.1f ns\n", runBatches(given)) }
func modeDetach(given int64) { fmt.Printf("batch_detach %.1f ns\n", runBatches(given)) }

func pingPong(room int, given int64) float64 {
	return calibrate(func(n int64) {
		var wg sync.WaitGroup
		var hops [2]int64
		ch := [2]chan int64{make(chan int64, room), make(chan int64, room)}
		wg.Add(2)
		go func() {
			for i := int64(0); i < n; i++ {
				ch[0] <- i
				hops[0] += <-ch[1] - i
			}
			wg.Done()
		}()
		go func() {
			for i := int64(0); i < n; i++ {
				ch[1] <- 1 + <-ch[0]
				hops[1]++
			}
			wg.Done()
		}()
		wg.Wait()
		mustEqual(hops[0]+hops[1], 2*n, "ping-pong: hops")
	}, 500, given) / 2
}

func modeCond(given int64) { fmt.Printf("cond_hop %.1f ns\n", pingPong(0, given)) }
func modeSem(given int64)  { fmt.Printf("sem_hop %.1f ns\n", pingPong(1, given)) }

var lockMutex sync.Mutex
var lockCount int64

func modeLock(given int64) {
	fmt.Printf("lock_unlock %.2f ns\n", calibrate(func(n int64) {
		lockCount = 0
		for i := int64(0); i < n; i++ {
			lockMutex.Lock()
			lockCount++
			lockMutex.Unlock()
		}
		mustEqual(lockCount, n, "lock: turns")
	}, 10000, given))
}

// status returns a field of /proc/self/status.
func status(field string) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		die("%v", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) > 1 && w[0] == field+":" {
			if v, err := strconv.ParseInt(w[1], 10, 64); err == nil {
				return v
			}
		}
	}
	die("/proc/self/status: no %s", field)
	return 0
}

func modeParked(n int64) {
	if n <= 0 {
		n = 1000000
	}
	var wg, in sync.WaitGroup
	var out int64
	open := make(chan struct{})
	in.Add(int(n))
	wg.Add(int(n))
	begin := time.Now()
	for i := int64(0); i < n; i++ {
		go func() {
			in.Done()
			<-open
			atomic.AddInt64(&out, 1)
			wg.Done()
		}()
	}
	in.Wait()
	took := time.Since(begin)
	bytes := float64(status("VmRSS")+status("VmPTE")) * 1024
	threads := status("Threads")
	begin = time.Now()
	close(open)
	wg.Wait()
	release := time.Since(begin)
	mustEqual(out, n, "parked: goroutines that were released")
	fmt.Printf("parked_made %d threads\n", n)
	fmt.Printf("parked_each %.1f ns\n", float64(took.Nanoseconds())/float64(n))
	fmt.Printf("parked_release %.1f ns\n", float64(release.Nanoseconds())/float64(n))
	fmt.Printf("parked_total %.0f bytes\n", bytes)
	fmt.Printf("parked_memory %.0f bytes\n", bytes/float64(n))
	fmt.Printf("parked_kernel_threads %d threads\n", threads)
}

func modePreempt(n int64) {
	if n <= 0 {
		n = 500
	}
	const nap = time.Millisecond
	var stop int32
	var turns, spun int64
	var wg sync.WaitGroup
	var late []time.Duration
	wg.Add(2)
	go func() {
		for atomic.LoadInt32(&stop) == 0 {
			atomic.StoreInt64(&turns, atomic.LoadInt64(&turns)+1)
		}
		wg.Done()
	}()
	go func() {
		begin := time.Now()
		for i := int64(0); i < n; i++ {
			t0 := time.Now()
			if i >= 20 && t0.Sub(begin) > 2*time.Second {
				break
			}
			time.Sleep(nap)
			late = append(late, time.Since(t0)-nap)
			if i == 0 {
				spun = atomic.LoadInt64(&turns)
			}
		}
		spun = atomic.LoadInt64(&turns) - spun
		atomic.StoreInt32(&stop, 1)
		wg.Done()
	}()
	wg.Wait()
	sort.Slice(late, func(i, j int) bool { return late[i] < late[j] })
	if late[0] < 0 {
		die("preempt: a sleep of 1 ms came back %v early", -late[0])
	}
	if spun <= 0 {
		die("preempt: the spinning goroutine never ran")
	}
	fmt.Printf("preempt_max %d ns\n", late[len(late)-1].Nanoseconds())
	fmt.Printf("preempt_p99 %d ns\n", late[(len(late)-1)*99/100].Nanoseconds())
	fmt.Printf("preempt_median %d ns\n", late[len(late)/2].Nanoseconds())
	fmt.Printf("preempt_samples %d samples\n", len(late))
}

func modeTrue(int64) {}

var modes = map[string]func(int64){
	"yield":   modeYield,
	"create":  modeCreate,
	"batch":   modeBatch,
	"detach":  modeDetach,
	"cond":    modeCond,
	"sem":     modeSem,
	"lock":    modeLock,
	"parked":  modeParked,
	"preempt": modePreempt,
	"true":    modeTrue,
}

func main() {
	var n int64
	if len(os.Args) == 3 {
		n, _ = strconv.ParseInt(os.Args[2], 10, 64)
	}
	if len(os.Args) == 2 || len(os.Args) == 3 {
		if run := modes[os.Args[1]]; run != nil {
			run(n)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: threads MODE [N]; the modes of bench/threads.c but parked8m and runtime")
	os.Exit(2)
}

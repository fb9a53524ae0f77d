// api MODE [N]: the modes of bench/api.c as a Go programmer writes them, with the same names of figures.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func die(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "api.go: "+format+"\n", args...)
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

func modeHop(given int64) {
	ping, pong := make(chan int64), make(chan int64)
	fmt.Printf("chan_hop %.1f ns\n", calibrate(func(n int64) {
		var v int64
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			for i := int64(0); i < n; i++ {
				pong <- <-ping + 1
			}
			wg.Done()
		}()
		for i := int64(0); i < n; i++ {
			ping <- v
			v = <-pong
		}
		wg.Wait()
		mustEqual(v, n, "hop: sum")
	}, 1000, given)/2)
}

func modeBuffered(given int64) {
	c := make(chan int64, 100)
	fmt.Printf("chan_item %.1f ns\n", calibrate(func(n int64) {
		var sum int64
		go func() {
			for i := int64(0); i < n; i++ {
				c <- i
			}
		}()
		for i := int64(0); i < n; i++ {
			sum += <-c
		}
		mustEqual(sum, n*(n-1)/2, "buffered: sum")
	}, 1000, given))
}

func modeSelect2(given int64) {
	fmt.Printf("select2 %.1f ns\n", calibrate(func(n int64) {
		var c [2]chan int64
		for i := range c {
			c[i] = make(chan int64, 1)
		}
		var v int64
		for i := int64(0); i < n; i++ {
			var got int64
			c[i%2] <- v
			select {
			case _ = <-c[0]:
				got = 0
			case _ = <-c[1]:
				got = 1
			}
			if got != i%2 {
				die("select: the wrong case")
			}
		}
	}, 1000, given))
}

func modeSelect4(given int64) {
	fmt.Printf("select4 %.1f ns\n", calibrate(func(n int64) {
		var c [4]chan int64
		for i := range c {
			c[i] = make(chan int64, 1)
		}
		var v int64
		for i := int64(0); i < n; i++ {
			var got int64
			c[i%4] <- v
			select {
			case _ = <-c[0]:
				got = 0
			case _ = <-c[1]:
				got = 1
			case _ = <-c[2]:
				got = 2
			case _ = <-c[3]:
				got = 3
			}
			if got != i%4 {
				die("select: the wrong case")
			}
		}
	}, 1000, given))
}

func modeSelect16(given int64) {
	fmt.Printf("select16 %.1f ns\n", calibrate(func(n int64) {
		var c [16]chan int64
		for i := range c {
			c[i] = make(chan int64, 1)
		}
		var v int64
		for i := int64(0); i < n; i++ {
			var got int64
			c[i%16] <- v
			select {
			case _ = <-c[0]:
				got = 0
			case _ = <-c[1]:
				got = 1
			case _ = <-c[2]:
				got = 2
			case _ = <-c[3]:
				got = 3
			case _ = <-c[4]:
				got = 4
			case _ = <-c[5]:
				got = 5
			case _ = <-c[6]:
				got = 6
			case _ = <-c[7]:
				got = 7
			case _ = <-c[8]:
				got = 8
			case _ = <-c[9]:
				got = 9
			case _ = <-c[10]:
				got = 10
			case _ = <-c[11]:
				got = 11
			case _ = <-c[12]:
				got = 12
			case _ = <-c[13]:
				got = 13
			case _ = <-c[14]:
				got = 14
			case _ = <-c[15]:
				got = 15
			}
			if got != i%16 {
				die("select: the wrong case")
			}
		}
	}, 1000, given))
}

func modeWaitGroup(given int64) {
	fmt.Printf("wait_group %.1f ns\n", calibrate(func(n int64) {
		var wg sync.WaitGroup
		for i := int64(0); i < n; i++ {
			wg.Add(100000)
			for j := 0; j < 100000; j++ {
				go wg.Done()
			}
			wg.Wait()
		}
	}, 1, given)/100000)
}

func modeSpawn(given int64) {
	fmt.Printf("spawn %.1f ns\n", calibrate(func(n int64) {
		var wg sync.WaitGroup
		for i := int64(0); i < n; i++ {
			wg.Add(1)
			go wg.Done()
			wg.Wait()
		}
	}, 1000, given))
}

func modeYield(given int64) {
	fmt.Printf("yield %.1f ns\n", calibrate(func(n int64) {
		var wg sync.WaitGroup
		wg.Add(2)
		for t := 0; t < 2; t++ {
			go func() {
				for i := int64(0); i < n; i++ {
					runtime.Gosched()
				}
				wg.Done()
			}()
		}
		wg.Wait()
	}, 1000, given)/2)
}

func memory() (bytes int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		die("%v", err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d", &kb); n == 1 {
			bytes += kb * 1024
		} else if n, _ := fmt.Sscanf(line, "VmPTE: %d", &kb); n == 1 {
			bytes += kb * 1024
		}
	}
	return
}

func modeParked(given int64) {
	n := given
	if n <= 0 {
		n = 1000000
	}
	before := memory()
	word := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(int(n))
	for i := int64(0); i < n; i++ {
		go func() {
			<-word
			wg.Done()
		}()
	}
	for i := 0; i < 100; i++ {
		runtime.Gosched()
	}
	time.Sleep(100 * time.Millisecond)
	fmt.Printf("parked_memory %d bytes\n", (memory()-before)/n)
	begin := time.Now()
	close(word)
	wg.Wait()
	fmt.Printf("parked_release %.1f ns\n", float64(time.Since(begin).Nanoseconds())/float64(n))
}

func contend(tasks int, given int64) float64 {
	return calibrate(func(n int64) {
		var m sync.Mutex
		var wg sync.WaitGroup
		var count int64
		each := n/int64(tasks) + 1
		wg.Add(tasks)
		for i := 0; i < tasks; i++ {
			go func() {
				for j := int64(0); j < each; j++ {
					m.Lock()
					count++
					m.Unlock()
				}
				wg.Done()
			}()
		}
		wg.Wait()
		mustEqual(count, each*int64(tasks), "mutex: count")
	}, 1000, given)
}

func modeMutex2(given int64)   { fmt.Printf("mutex2 %.1f ns\n", contend(2, given)) }
func modeMutex100(given int64) { fmt.Printf("mutex100 %.1f ns\n", contend(100, given)) }

func modeTimer(given int64) {
	fmt.Printf("timer %.1f ns\n", calibrate(func(n int64) {
		for i := int64(0); i < n; i++ {
			if !time.NewTimer(time.Hour).Stop() {
				die("timer: fired")
			}
		}
	}, 1000, given))
}

func modeTimers(given int64) {
	const pending = 1000000
	t := make([]*time.Timer, pending)
	for i := range t {
		t[i] = time.NewTimer(time.Hour + time.Duration(i*7919%pending)*time.Microsecond)
	}
	fmt.Printf("timer_million %.1f ns\n", calibrate(func(n int64) {
		for i := int64(0); i < n; i++ {
			if !time.NewTimer(time.Hour + time.Duration(i*7919%pending)*time.Microsecond).Stop() {
				die("timer: fired")
			}
		}
	}, 1000, given))
	for i := range t {
		t[i].Stop()
	}
}

func modeRing(given int64) {
	const tasks = 100000
	first := make(chan int64, 1)
	left := first
	for i := 0; i < tasks; i++ {
		right := make(chan int64)
		go func(in, out chan int64) {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}(left, right)
		left = right
	}
	once := func(n int64) {
		for i := int64(0); i < n; i++ {
			first <- 0
			mustEqual(<-left, tasks, "ring: sum")
		}
	}
	once(1)
	fmt.Printf("ring %.1f ns\n", calibrate(once, 1, given)/tasks)
}

func modeSieve(given int64) {
	const primes = 500
	fmt.Printf("sieve %.0f us\n", calibrate(func(n int64) {
		for i := int64(0); i < n; i++ {
			stop := make(chan struct{})
			ch := make(chan int64)
			go func(out chan<- int64) {
				for v := int64(2); ; v++ {
					select {
					case out <- v:
					case <-stop:
						return
					}
				}
			}(ch)
			var prime int64
			for j := 0; j < primes; j++ {
				prime = <-ch
				next := make(chan int64)
				go func(in <-chan int64, out chan<- int64, prime int64) {
					for {
						select {
						case v := <-in:
							if v%prime != 0 {
								select {
								case out <- v:
								case <-stop:
									return
								}
							}
						case <-stop:
							return
						}
					}
				}(ch, next, prime)
				ch = next
			}
			close(stop)
			mustEqual(prime, 3571, "sieve: the 500th prime")
		}
	}, 1, given)/1000)
}

var modes = map[string]func(int64){
	"hop":       modeHop,
	"buffered":  modeBuffered,
	"spawn":     modeSpawn,
	"yield":     modeYield,
	"parked":    modeParked,
	"select2":   modeSelect2,
	"select4":   modeSelect4,
	"select16":  modeSelect16,
	"waitgroup": modeWaitGroup,
	"mutex2":    modeMutex2,
	"mutex100":  modeMutex100,
	"timer":     modeTimer,
	"timers":    modeTimers,
	"ring":      modeRing,
	"sieve":     modeSieve,
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
	fmt.Fprintln(os.Stderr, "usage: api MODE [N]; the modes of bench/api.c")
	os.Exit(2)
}

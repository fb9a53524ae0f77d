// net MODE ARGUMENT: Go's side of bench/net/run: the echo server, the pipe and the sleepers.
package main

import (
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(port int) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	check(err)
	for {
		c, err := l.Accept()
		check(err)
		go func() {
			buf := make([]byte, 4096)
			defer c.Close()
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err = c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func pipeOnce(n int) time.Duration {
	ar, aw, err := os.Pipe()
	check(err)
	br, bw, err := os.Pipe()
	check(err)
	t0 := time.Now()
	done := make(chan bool)
	go func() {
		b := []byte{0}
		for i := 0; i < n; i++ {
			_, err := ar.Read(b)
			check(err)
			_, err = bw.Write(b)
			check(err)
		}
		done <- true
	}()
	go func() {
		b := []byte{0}
		for i := 0; i < n; i++ {
			_, err := aw.Write(b)
			check(err)
			_, err = br.Read(b)
			check(err)
		}
		done <- true
	}()
	<-done
	<-done
	took := time.Since(t0)
	for _, f := range []*os.File{ar, aw, br, bw} {
		f.Close()
	}
	return took
}

func pipe(budget time.Duration) {
	for n := 500; ; n *= 2 {
		took := pipeOnce(n)
		if took >= budget {
			fmt.Printf("pipe_hop %.1f ns\n", float64(took.Nanoseconds())/float64(n)/2)
			return
		}
	}
}

func sleep(n int) {
	late := make([]int64, n)
	var all sync.WaitGroup
	all.Add(n)
	t0 := time.Now()
	for i := 0; i < n; i++ {
		go func(i int) {
			ns := time.Duration((uint64(i) * 0x9e3779b97f4a7c15 >> 20) % 10000000000)
			begin := time.Now()
			time.Sleep(ns)
			late[i] = int64(time.Since(begin) - ns)
			all.Done()
		}(i)
	}
	all.Wait()
	took := time.Since(t0)
	sort.Slice(late, func(a, b int) bool { return late[a] < late[b] })
	fmt.Printf("sleep_made %d threads\n", n)
	fmt.Printf("sleep_median %d ns\n", late[n/2])
	fmt.Printf("sleep_p99 %d ns\n", late[n*99/100])
	fmt.Printf("sleep_max %d ns\n", late[n-1])
	fmt.Printf("sleep_total %d ns\n", took.Nanoseconds())
}

func main() {
	n := 0
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	ms, _ := strconv.Atoi(os.Getenv("BENCH_MS"))
	switch {
	case len(os.Args) > 2 && os.Args[1] == "echo":
		echo(n)
	case len(os.Args) > 1 && os.Args[1] == "pipe":
		if ms <= 0 {
			ms = 400
		}
		pipe(time.Duration(ms) * time.Millisecond)
	case len(os.Args) > 1 && os.Args[1] == "sleep":
		if n <= 0 {
			n = 1000000
		}
		sleep(n)
	default:
		fmt.Fprintln(os.Stderr, "usage: net echo PORT | net pipe | net sleep [N]")
		os.Exit(2)
	}
}

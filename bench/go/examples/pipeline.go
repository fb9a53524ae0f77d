package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
)

type result struct {
	job  int64
	hash uint64
}

func run(njobs, enough int64) (n int64, sum uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	jobs, results := make(chan int64), make(chan result, 16)
	go func() {
		defer close(jobs)
		for i := int64(0); i < njobs; i++ {
			select {
			case jobs <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var workers sync.WaitGroup
	workers.Add(8)
	for i := 0; i < 8; i++ {
		go func() {
			defer workers.Done()
			for job := range jobs {
				r := result{job, 14695981039346656037}
				for i := int64(0); i < 100; i++ {
					r.hash = (r.hash ^ uint64(job+i)) * 1099511628211
				}
				select {
				case results <- r:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	go func() { workers.Wait(); close(results) }()
	for r := range results {
		sum += r.hash
		if n++; n == enough {
			cancel()
			break
		}
	}
	for range results {
	}
	return
}

func main() {
	njobs := int64(20000)
	if len(os.Args) > 1 {
		njobs, _ = strconv.ParseInt(os.Args[1], 10, 64)
	}
	n, sum := run(njobs, njobs+1)
	fmt.Printf("%d results, sum %016x\n", n, sum)
	n, _ = run(njobs, njobs/2)
	fmt.Printf("cancelled after %d\n", n)
}

package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	n := int64(100000)
	if len(os.Args) > 1 {
		n, _ = strconv.ParseInt(os.Args[1], 10, 64)
	}
	var tasks sync.WaitGroup
	var sum int64
	word := make(chan struct{})
	for i := int64(0); i < n; i++ {
		tasks.Add(1)
		go func(i int64) {
			<-word
			atomic.AddInt64(&sum, i)
			tasks.Done()
		}(i)
	}
	close(word)
	tasks.Wait()
	fmt.Printf("%d tasks, sum %d\n", n, sum)
}

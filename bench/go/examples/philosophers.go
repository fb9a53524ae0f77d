package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
)

const seats = 5

func main() {
	meals := 1000
	if len(os.Args) > 1 {
		meals, _ = strconv.Atoi(os.Args[1])
	}
	var forks [seats]sync.Mutex
	var eaten [seats]int
	var table sync.WaitGroup
	table.Add(seats)
	for me := 0; me < seats; me++ {
		go func(me int) {
			defer table.Done()
			first, second := me, (me+1)%seats
			if first > second {
				first, second = second, first
			}
			for i := 0; i < meals; i++ {
				forks[first].Lock()
				forks[second].Lock()
				eaten[me]++
				runtime.Gosched()
				forks[second].Unlock()
				forks[first].Unlock()
			}
		}(me)
	}
	table.Wait()
	for i, n := range eaten {
		fmt.Printf("philosopher %d ate %d times\n", i, n)
	}
}

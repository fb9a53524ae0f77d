package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	n, rounds := 100000, 3
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	if len(os.Args) > 2 {
		rounds, _ = strconv.Atoi(os.Args[2])
	}
	first := make(chan int64)
	left := first
	for i := 0; i < n; i++ {
		room := 0
		if i == n-1 {
			room = 1
		}
		right := make(chan int64, room)
		go func(in <-chan int64, out chan<- int64) {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}(left, right)
		left = right
	}
	var v int64
	for i := 0; i < rounds; i++ {
		first <- v
		v = <-left
	}
	close(first)
	<-left
	fmt.Printf("%d tasks, %d rounds: %d\n", n, rounds, v)
}

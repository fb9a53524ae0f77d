package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	n := 300
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	stop, ch := make(chan struct{}), make(chan int64)
	go func(out chan<- int64) {
		for i := int64(2); ; i++ {
			select {
			case out <- i:
			case <-stop:
				return
			}
		}
	}(ch)
	var prime, sum int64
	for i := 0; i < n; i++ {
		prime = <-ch
		sum += prime
		next := make(chan int64)
		go func(in <-chan int64, out chan<- int64, prime int64) {
			for {
				select {
				case v := <-in:
					if v%prime == 0 {
						continue
					}
					select {
					case out <- v:
					case <-stop:
						return
					}
				case <-stop:
					return
				}
			}
		}(ch, next, prime)
		ch = next
	}
	fmt.Printf("prime %d is %d, the sum %d\n", n, prime, sum)
	close(stop)
}

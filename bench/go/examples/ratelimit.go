package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const burst, period = 10, 2 * time.Millisecond

func main() {
	requests := 50
	if len(os.Args) > 1 {
		requests, _ = strconv.Atoi(os.Args[1])
	}
	tokens, stop, t := make(chan struct{}, burst), make(chan struct{}), time.NewTicker(period)
	for i := 0; i < burst; i++ {
		tokens <- struct{}{}
	}
	go func() {
		for {
			select {
			case <-t.C:
				select {
				case tokens <- struct{}{}:
				default:
				}
			case <-stop:
				return
			}
		}
	}()
	begun := time.Now()
	for i := 0; i < requests; i++ {
		<-tokens
	}
	how := "not faster than allowed"
	if time.Since(begun) < time.Duration(requests-burst-1)*period {
		how = "too fast"
	}
	fmt.Printf("%d requests, a burst of %d: %s\n", requests, burst, how)
	close(stop)
}

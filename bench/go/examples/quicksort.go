package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

var parts sync.WaitGroup

func sort(a []uint32) {
	for len(a) > 1 {
		pivot := a[len(a)/2]
		i, j := 0, len(a)-1
		for i <= j {
			for a[i] < pivot {
				i++
			}
			for a[j] > pivot {
				j--
			}
			if i <= j {
				a[i], a[j] = a[j], a[i]
				i++
				j--
			}
		}
		if left := a[:j+1]; len(left) > 4096 {
			parts.Add(1)
			go func() {
				sort(left)
				parts.Done()
			}()
		} else {
			sort(left)
		}
		a = a[i:]
	}
}

func main() {
	n := 1000000
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	a, x := make([]uint32, n), uint32(2463534242)
	for i := range a {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		a[i] = x
	}
	sort(a)
	parts.Wait()
	wrong := 0
	for i := 1; i < n; i++ {
		if a[i-1] > a[i] {
			wrong++
		}
	}
	fmt.Printf("%d numbers, %d out of order, the middle one is %d\n", n, wrong, a[n/2])
}

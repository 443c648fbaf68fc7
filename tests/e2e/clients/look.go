// SPDX-License-Identifier: MIT

// look asks Go's own resolver for names, one line each: name, addresses, or the error. Built by a scenario, run with GODEBUG=netdns=go:
// it reads resolv.conf itself, asks for A and AAAA in parallel, with EDNS0 where the version has it, and repeats over TCP.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	for _, name := range os.Args[1:] {
		addrs, err := net.LookupHost(name)
		if err != nil {
			fmt.Println(name, "error:", err)
			continue
		}
		fmt.Println(name, strings.Join(addrs, " "))
	}
}

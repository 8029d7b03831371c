// For tests: a server that answers every connection with a word, and a client that tells whether one does.
//
//	probe serve ADDRESS            listens, answers "hello", and writes who asked
//	probe reach ADDRESS...         writes "reached" or "refused" or "silent" for each; fails unless all are reached
//	probe resolve NAME             writes the addresses of a name
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Longer than the first repetition of a lost packet, which comes after a second.
const patience = 2 * time.Second

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "probe serve|reach|resolve …")
		os.Exit(2)
	}
	command, arguments := os.Args[1], os.Args[2:]
	failed := false
	switch command {
	case "serve":
		failed = serve(arguments[0]) != nil
	case "reach":
		for _, address := range arguments {
			outcome := reach(address)
			fmt.Println(outcome)
			failed = failed || outcome != "reached"
		}
	case "resolve":
		addresses, err := net.LookupHost(arguments[0])
		failed = err != nil
		for _, address := range addresses {
			fmt.Println(address)
		}
	default:
		failed = true
	}
	if failed {
		os.Exit(1)
	}
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		fmt.Println("asked by", connection.RemoteAddr())
		go func() {
			_, _ = io.WriteString(connection, "hello\n")
			_ = connection.Close()
		}()
	}
}

func reach(address string) string {
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "silent"
		}
		return "refused"
	}
	_ = connection.Close()
	return "reached"
}

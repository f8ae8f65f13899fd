// What the pods of the node level's own tests run: the sandbox's pause, and small questions about what a pod can reach.
//
//	probe pause                 sleep until told to end
//	probe say WORD...           print the words
//	probe serve ADDRESS WORD    answer every request with the word
//	probe get URL               print what is answered; wait until something is
//	probe dial ADDRESS          print "connected", or why not
//	probe write FILE WORD       write the word into a file
//	probe read FILE             print a file
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		end("probe: no command")
	}
	command, arguments := os.Args[1], append(os.Args[2:], "", "")
	switch command {
	case "pause":
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
		<-told
	case "say":
		fmt.Println(strings.Join(os.Args[2:], " "))
	case "serve":
		answer := func(to http.ResponseWriter, _ *http.Request) { fmt.Fprintln(to, arguments[1]) }
		check(http.ListenAndServe(arguments[0], http.HandlerFunc(answer)))
	case "get":
		get(arguments[0])
	case "dial":
		connection, err := net.DialTimeout("tcp", arguments[0], time.Minute)
		check(err)
		connection.Close()
		fmt.Println("connected")
	case "write":
		check(os.WriteFile(arguments[0], []byte(arguments[1]), 0o644))
	case "read":
		text, err := os.ReadFile(arguments[0])
		check(err)
		fmt.Println(string(text))
	default:
		end("probe: no such command: " + command)
	}
}

// get asks until it is answered: a Service's rules may be younger than the pod that asks.
func get(url string) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(url)
		if err == nil {
			_, err = io.Copy(os.Stdout, answer.Body)
			check(err)
			return
		}
		if time.Now().After(deadline) {
			check(err)
		}
	}
}

func check(err error) {
	if err != nil {
		end(err.Error())
	}
}

func end(why string) {
	fmt.Println(why)
	os.Exit(1)
}

// A chained CNI plugin: a pod starts when the agent of the network policies has answered that it knows it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// The agent answers at its next round, within milliseconds; kubelet tries again when it does not.
const patience = 10 * time.Second

type configuration struct {
	CNIVersion string          `json:"cniVersion"`
	Socket     string          `json:"socket"`
	Previous   json.RawMessage `json:"prevResult"`
}

type result struct {
	IPs []struct {
		Address string `json:"address"`
	} `json:"ips"`
}

func main() {
	var given configuration
	command := os.Getenv("CNI_COMMAND")
	if command == "VERSION" {
		fmt.Println(`{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}`)
		return
	}
	err := json.NewDecoder(os.Stdin).Decode(&given)
	if err == nil && command == "ADD" {
		err = announce(given)
	}
	if err != nil {
		// Code 11 means: try again later.
		failure := map[string]any{"cniVersion": given.CNIVersion, "code": 11, "msg": "network policies: " + err.Error()}
		_ = json.NewEncoder(os.Stdout).Encode(failure)
		os.Exit(1)
	}
	if command == "ADD" {
		_, _ = os.Stdout.Write(given.Previous)
	}
}

func announce(given configuration) error {
	var addresses result
	if err := json.Unmarshal(given.Previous, &addresses); err != nil {
		return err
	}
	pod := map[string]string{}
	for _, argument := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		if key, value, found := strings.Cut(argument, "="); found {
			pod[key] = value
		}
	}
	if len(addresses.IPs) == 0 || pod["K8S_POD_NAME"] == "" {
		return fmt.Errorf("a pod without name or address")
	}
	address, _, _ := strings.Cut(addresses.IPs[0].Address, "/")
	connection, err := net.DialTimeout("unix", given.Socket, patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	message := map[string]string{"namespace": pod["K8S_POD_NAMESPACE"], "name": pod["K8S_POD_NAME"], "address": address}
	if err := json.NewEncoder(connection).Encode(message); err != nil {
		return err
	}
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err == nil && strings.TrimSpace(answer) != "ready" {
		err = fmt.Errorf("%s", strings.TrimSpace(answer))
	}
	return err
}

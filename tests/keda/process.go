package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// cpuTime is what this process has used so far, user and system.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// residentMiB is the memory in use now, not its peak, which start-up would win.
func residentMiB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	return 0
}

// establishedSockets counts the TCP connections of this process. The kernel
// lists those of the whole network namespace; ours are open in /proc/self/fd.
func establishedSockets() int {
	ours := map[string]bool{}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		target, _ := os.Readlink(link)
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			ours[strings.TrimSuffix(inode, "]")] = true
		}
	}

	count := 0
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue // a machine without IPv6
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			const state, inode = 3, 9 // columns; state 01 is ESTABLISHED
			columns := strings.Fields(lines.Text())
			if len(columns) > inode && columns[state] == "01" && ours[columns[inode]] {
				count++
			}
		}
		file.Close()
	}
	return count
}

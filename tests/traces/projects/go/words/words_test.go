package words

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestJoin(t *testing.T) {
	if Join("a", "b") != "a b" {
		t.Fatal("wrong")
	}
}

func TestServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hi") }))
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	if string(text) != "hi" {
		t.Fatal(string(text))
	}
}

func TestFilesAndChildren(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "a")
	if err := os.WriteFile(name, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	from, _ := os.Open(name)
	to, _ := os.Create(name + "2")
	if n, err := io.Copy(to, from); n != 1<<16 || err != nil {
		t.Fatal(n, err)
	}
	to.Sync()
	os.Symlink("a", name+"3")
	os.Chtimes(name, time.Now(), time.Now())
	os.Rename(name, name+"4")
	if entries, _ := os.ReadDir(folder); len(entries) != 3 {
		t.Fatal(entries)
	}
	context, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(context, "echo", "x").Output(); string(out) != "x\n" || err != nil {
		t.Fatal(out, err)
	}
	if addresses, err := net.InterfaceAddrs(); err != nil || len(addresses) == 0 {
		t.Fatal(addresses, err)
	}
}

func TestConcurrency(t *testing.T) {
	var group sync.WaitGroup
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	<-caught
	for n := 0; n < 50; n++ {
		group.Add(1)
		go func() { defer group.Done(); time.Sleep(time.Millisecond) }()
	}
	group.Wait()
}

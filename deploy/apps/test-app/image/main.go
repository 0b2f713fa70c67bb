// test-app is a small web server whose page shows which version answers, so that a rollout, a promotion and a rollback
// can be watched in a browser.
package main

import (
	"context"
	_ "embed"
	"errors"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// Set at build time (build.sh), so that two versions are two images with two digests.
var (
	version = "0.0.0"
	colour  = "grey"
	// Not empty in a version that is there to fail and to be taken back.
	unhealthy = ""
)

//go:embed page.html
var source string

var page = template.Must(template.New("page").Parse(source))

const (
	// Routers hear of a stopping Pod a little later than the Pod itself; until then it goes on answering.
	drain = 3 * time.Second
	// Together with the Deployment's preStop pause, both stay below its terminationGracePeriodSeconds.
	lastRequests = 5 * time.Second
)

func main() {
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	address := os.Getenv("LISTEN")
	if address == "" {
		address = ":8080"
	}
	if err := serve(stop, address); err != nil {
		log.Fatal(err)
	}
}

// serve answers until stop is done, and returns once the last request has its answer.
func serve(stop context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var stopping atomic.Bool
	server := &http.Server{
		Handler:           routes(&stopping),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.Printf("test-app %s (%s) listens on %s", version, colour, listener.Addr())

	select {
	case err := <-ended:
		return err
	case <-stop.Done():
	}
	stopping.Store(true)
	log.Printf("stopping in %s", drain)
	time.Sleep(drain)
	limit, cancel := context.WithTimeout(context.Background(), lastRequests)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Print("stopped")
	return nil
}

func routes(stopping *atomic.Bool) http.Handler {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	content := struct{ Version, Colour, Host string }{version, colour, host}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		// A browser must not show the version of a minute ago.
		w.Header().Set("Cache-Control", "no-store")
		if err := page.Execute(w, content); err != nil {
			log.Print(err)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, unhealthy == "", "this version was built to fail")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, unhealthy == "" && !stopping.Load(), "not taking new requests")
	})
	return mux
}

func answer(w http.ResponseWriter, well bool, why string) {
	if !well {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ok\n"))
}

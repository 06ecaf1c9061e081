// TlsStream over a socket pair. Times are of the server's side alone, system calls included; the
// client in the same thread is left out.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <sys/socket.h>

#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

#include "certificate_maker.h"
#include "common/core/check.h"
#include "proxy/tls_stream.h"
#include "tls_client.h"

namespace saola::proxy::testing {
namespace {

std::unique_ptr<TlsContext> make_context(KeyKind kind = KeyKind::kEcdsa) {
  const MadeCertificate made = make_certificate({.names = {"DNS:a.example"}, .key = kind});
  auto context = TlsContext::create({}, {"http/1.1"}, {key_pair(made)});
  SAOLA_CHECK(context.has_value());
  return std::move(*context);
}

// Adds up this thread's CPU time between start() and stop(): other load on the machine does not
// count. Each pair of calls adds about 0.3 us of its own.
class Stopwatch {
 public:
  void start() { started_ = now(); }
  void stop() { total_ += now() - started_; }
  double take_seconds() { return static_cast<double>(std::exchange(total_, 0)) * 1e-9; }

 private:
  static std::int64_t now() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * std::int64_t{1000000000} + time.tv_nsec;
  }
  std::int64_t started_ = 0;
  std::int64_t total_ = 0;
};

// One keep-alive request of 120 bytes, one answer of 180.
void small_request(benchmark::State& state) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  const std::string request(120, 'q');
  const std::string head(150, 'h');
  const std::string body(30, 'b');
  std::vector<char> space(65536);
  Stopwatch watch;
  for (auto _ : state) {
    pair.client->write(request);
    pair.client->push_all();
    watch.start();
    pair.server->on_readable();
    while (pair.server->read(space).status == StreamStatus::kOk) {
    }
    pair.server->write(head);
    pair.server->write(body);
    pair.server->flush();
    watch.stop();
    pair.client->pull();
    benchmark::DoNotOptimize(pair.client->read());
    pair.client->clear_raw_input();
    state.SetIterationTime(watch.take_seconds());
  }
}
BENCHMARK(small_request)->UseManualTime();

void download(benchmark::State& state) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  const int wanted = 4 << 20;
  ::setsockopt(pair.server->fd(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
  const std::string body(static_cast<std::size_t>(state.range(0)), 'b');
  Stopwatch watch;
  for (auto _ : state) {
    watch.start();
    pair.server->write(body);
    StreamStatus status = pair.server->flush();
    watch.stop();
    while (status == StreamStatus::kWouldBlock) {
      read_socket(pair.client->fd());
      watch.start();
      status = pair.server->flush();
      watch.stop();
    }
    read_socket(pair.client->fd());  // nobody has to decrypt it
    state.SetIterationTime(watch.take_seconds());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(download)->UseManualTime()->Arg(16 << 10)->Arg(64 << 10)->Arg(1 << 20);

void upload(benchmark::State& state) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  const std::string body(static_cast<std::size_t>(state.range(0)), 'b');
  std::vector<char> space(65536);
  Stopwatch watch;
  for (auto _ : state) {
    pair.client->write(body);
    std::size_t got = 0;
    while (got < body.size()) {
      pair.client->push();
      watch.start();
      pair.server->on_readable();
      for (;;) {
        const ReadResult result = pair.server->read(space);
        if (result.status != StreamStatus::kOk) break;
        got += result.bytes;
      }
      watch.stop();
    }
    state.SetIterationTime(watch.take_seconds());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(upload)->UseManualTime()->Arg(16 << 10)->Arg(1 << 20);

// The server's part of a handshake; the second argument resumes a session.
void handshake(benchmark::State& state) {
  const auto context = make_context(state.range(0) == 0 ? KeyKind::kEcdsa : KeyKind::kRsa);
  ClientOptions options{.server_name = "a.example"};
  SessionPtr session;
  if (state.range(1) != 0) {
    TlsPair pair(*context, options);
    pair.connect();
    session = pair.client->take_session();
  }
  Stopwatch watch;
  for (auto _ : state) {
    const SessionPtr copy(session ? SSL_SESSION_dup(session.get()) : nullptr);
    options.session = copy.get();
    SocketPair sockets = make_socket_pair();
    TlsClient client(std::move(sockets.theirs), options);
    watch.start();
    auto server = make_tls_stream(std::move(sockets.ours), *context);
    watch.stop();
    StreamStatus status = StreamStatus::kWouldBlock;
    while (status == StreamStatus::kWouldBlock) {
      SSL_do_handshake(client.ssl());
      client.push_all();
      watch.start();
      server->on_readable();
      status = server->handshake();
      watch.stop();
      client.pull();
    }
    SAOLA_CHECK(status == StreamStatus::kOk && server->session_resumed() == (session != nullptr));
    watch.start();
    server.reset();
    watch.stop();
    state.SetIterationTime(watch.take_seconds());
  }
}
BENCHMARK(handshake)
    ->UseManualTime()
    ->ArgNames({"rsa", "resumed"})
    ->Args({0, 0})
    ->Args({1, 0})
    ->Args({0, 1});

// Heap bytes of one connection: after a request, and after release_buffers().
void idle_memory(benchmark::State& state) {
  const auto context = make_context();
  std::vector<char> space(65536);
  std::size_t busy = 0;
  std::size_t idle = 0;
  std::size_t bytes = 0;
  const auto counted = [&bytes](auto&& action) {
    const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    action();
    bytes += ::mallinfo2().uordblks + ::mallinfo2().hblkhd - before;
  };
  for (auto _ : state) {
    ClientOptions options{.server_name = "a.example", .alpn = "\x08http/1.1"};
    SocketPair sockets = make_socket_pair();
    TlsClient client(std::move(sockets.theirs), options);
    std::unique_ptr<Stream> server;
    bytes = 0;
    counted([&] { server = make_tls_stream(std::move(sockets.ours), *context); });
    StreamStatus status = StreamStatus::kWouldBlock;
    while (status == StreamStatus::kWouldBlock) {
      SSL_do_handshake(client.ssl());
      client.push_all();
      counted([&] {
        server->on_readable();
        status = server->handshake();
      });
      client.pull();
    }
    client.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.push_all();
    counted([&] {
      server->on_readable();
      server->read(space);
      server->write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      server->flush();
    });
    busy = bytes;
    counted([&] { server->release_buffers(); });
    idle = bytes;
  }
  state.counters["busy_bytes"] = static_cast<double>(busy);
  state.counters["idle_bytes"] = static_cast<double>(idle);
}
BENCHMARK(idle_memory)->Iterations(20);

}  // namespace
}  // namespace saola::proxy::testing

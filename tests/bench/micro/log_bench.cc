// Access log lines and the line writer.
#include <benchmark/benchmark.h>
#include <fcntl.h>

#include "common/core/line_writer.h"
#include "proxy/access_log.h"

namespace saola::proxy {
namespace {

using Fields = std::vector<ipc::Field>;

AccessRecord make_record(const Fields& request) {
  AccessRecord record;
  record.finished = std::chrono::system_clock::now();
  record.client_host = "192.168.100.200";
  record.method = "GET";
  record.target = "/api/items/4711?page=2";
  record.raw_path = "/api/items/4711";
  record.query = "page=2";
  record.authority = "shop.example";
  record.status = 200;
  record.response_bytes = 1234;
  record.total = std::chrono::microseconds(1250);
  record.request_id = "0123456789abcdef";
  record.app = "app";
  record.worker_pid = 4711;
  record.outcome = "ok";
  record.request_fields = &request;
  return record;
}

void format_line(benchmark::State& state, const char* name) {
  const Fields request = {
      {ipc::field::kHost, "host", "shop.example"},
      {ipc::field::kUserAgent, "user-agent",
       "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
      {ipc::field::kAccept, "accept", "*/*"},
      {ipc::field::kReferer, "referer", "https://shop.example/items"},
  };
  const AccessRecord record = make_record(request);
  const auto format = AccessLogFormat::parse(name);
  std::string out;
  for (auto _ : state) {
    out.clear();
    format->append(out, record);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK_CAPTURE(format_line, combined, "combined");
BENCHMARK_CAPTURE(format_line, json, "json");

// The caller's cost of a line, with a thread that writes them all.
void write_line(benchmark::State& state) {
  LineWriter writer(UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)), std::size_t{64} << 20);
  const std::string line(200, 'x');
  for (auto _ : state) writer.write_line(line);
  state.counters["dropped"] = static_cast<double>(writer.dropped_lines());
}
BENCHMARK(write_line);

}  // namespace
}  // namespace saola::proxy

#include "common/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "common/core/descriptors.h"

namespace saola::metrics {
namespace {

std::chrono::nanoseconds time_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

// proc(5): the second number of statm is pages of RSS. 0: it cannot be read.
double resident_bytes() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "re"),
                                                             std::fclose);
  unsigned long all = 0;
  unsigned long resident = 0;
  if (file == nullptr || std::fscanf(file.get(), "%lu %lu", &all, &resident) != 2) return 0;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

ProcessMetrics::ProcessMetrics(MetricStore& store, std::string_view process)
    : user_(store, "saola_process_cpu_seconds_total", {{"process", process}, {"mode", "user"}}),
      system_(store, "saola_process_cpu_seconds_total", {{"process", process}, {"mode", "system"}}),
      memory_(store, "saola_process_resident_memory_bytes", {{"process", process}}),
      descriptors_(store, "saola_process_open_fds", {{"process", process}}),
      most_descriptors_(store, "saola_process_max_fds", {{"process", process}}),
      start_time_(store, "saola_process_start_time_seconds", {{"process", process}}) {
  start_time_.set(
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  sample();
}

void ProcessMetrics::sample() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto user = time_of(usage.ru_utime);
    const auto system = time_of(usage.ru_stime);
    user_.add(user - user_before_);
    system_.add(system - system_before_);
    user_before_ = user;
    system_before_ = system;
  }
  memory_.set(resident_bytes());
  descriptors_.set(static_cast<double>(count_open_descriptors()));
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    most_descriptors_.set(static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace saola::metrics

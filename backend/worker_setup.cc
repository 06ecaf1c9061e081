#include "backend/worker_setup.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "backend/py_handles.h"
#include "common/config/config_loader.h"
#include "common/ipc/control_message.h"

namespace saola::backend {
namespace {

std::string joined(const std::vector<config::Problem>& problems) {
  std::string text;
  for (const auto& problem : problems) text += config::to_string(problem) + "\n";
  return text;
}

}  // namespace

Result<config::Config> read_worker_start(const UniqueFd& file) {
  const auto text = ipc::read_memory_file(file);
  if (!text) return Unexpected{text.error()};
  const auto start = ipc::parse_worker_start(*text);
  if (!start) return Unexpected{start.error()};
  config::LoadInput input;
  input.path = start->config_dir + "/saola.toml";
  input.text = start->config_toml;
  auto loaded = config::load_config(input);
  if (!loaded) return fail(joined(loaded.error()));
  return *std::move(loaded);
}

Result<void> enable_faulthandler() {
  const auto module = steal(PyImport_ImportModule("faulthandler"));
  if (!module || !steal(PyObject_CallMethod(module.ptr(), "enable", "i", STDERR_FILENO))) {
    return python_failure();
  }
  return {};
}

}  // namespace saola::backend

#include "common/cli/checks.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "common/config/paths.h"
#include "common/core/c_ptr.h"

namespace saola::cli {
namespace {

using FilePtr = CPtr<std::FILE, std::fclose>;

// Larger than any chain or key; a directory or device named by mistake must not fill the memory.
constexpr std::size_t kMaxPemBytes = std::size_t{4} << 20;

Result<std::string> read_small_file(const std::string& path) {
  const FilePtr file(std::fopen(path.c_str(), "re"));
  if (!file) return Unexpected{system_error(path, errno)};
  std::string text(kMaxPemBytes + 1, '\0');
  const std::size_t got = std::fread(text.data(), 1, text.size(), file.get());
  if (std::ferror(file.get()) != 0) return Unexpected{system_error(path, errno)};
  if (got > kMaxPemBytes) return fail(path + ": too large for a certificate or key");
  text.resize(got);
  return text;
}

std::string without_line_end(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

class KeyPairReader {
 public:
  KeyPairReader(const config::Config& config, const std::string& where,
                std::vector<config::Problem>& problems)
      : config_(config), where_(where), problems_(problems) {}

  ipc::KeyPair read(const config::Certificate& files) {
    ipc::KeyPair pair;
    pair.certificate_path = files.certificate;
    pair.certificate_pem = text_of(files.certificate);
    pair.key_pem = text_of(files.key);
    if (!files.key_password_file.empty()) {
      pair.key_password = without_line_end(text_of(files.key_password_file));
    }
    return pair;
  }
  bool complete() const { return complete_; }

 private:
  std::string text_of(const std::string& path) {
    auto text = read_small_file(config::resolve_path(config_, path));
    if (text) return *std::move(text);
    problems_.push_back({where_, std::move(text).error().message});
    complete_ = false;
    return {};
  }

  const config::Config& config_;
  const std::string& where_;
  std::vector<config::Problem>& problems_;
  bool complete_ = true;
};

void check_listener(const config::Config& config, const config::Listen& listen,
                    const Actions& actions, std::vector<config::Problem>& problems) {
  const std::string where = fmt::format("listen {}", listen.address);
  KeyPairReader reader(config, where, problems);
  std::vector<ipc::KeyPair> pairs;
  for (const config::Certificate& files : listen.tls->certificates) {
    pairs.push_back(reader.read(files));
  }
  if (!reader.complete()) return;
  if (auto usable = actions.check_tls(listen, pairs); !usable) {
    problems.push_back({where, usable.error().message});
  }
}

}  // namespace

std::vector<config::Problem> check_files(const config::Config& config, const Actions& actions) {
  std::vector<config::Problem> problems;
  for (const config::Listen& listen : config.listen) {
    if (listen.tls) check_listener(config, listen, actions, problems);
  }
  if (!config.log.access.empty()) {
    if (auto known = actions.check_access_format(config.log.access_format); !known) {
      problems.push_back({"log.access_format", known.error().message});
    }
  }
  return problems;
}

config::Config with_absolute_paths(config::Config config) {
  for (auto& [name, app] : config.apps) {
    app.directory = config::resolve_path(config, app.directory);
    app.venv = config::resolve_path(config, app.venv);
    for (std::string& path : app.pythonpath) path = config::resolve_path(config, path);
  }
  return config;
}

}  // namespace saola::cli

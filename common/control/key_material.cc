#include "common/control/key_material.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/config/paths.h"
#include "common/core/unique_fd.h"

namespace saola::control {
namespace {

// A chain with all its comments is a few KiB; a mistaken path may name anything.
constexpr off_t kMaxFile = 1024 * 1024;

struct File {
  std::string text;
  bool open_to_all = false;
};

// The error is the bare reason.
Result<File> read_small_file(const std::string& path) {
  // O_NONBLOCK: a path that names a FIFO must not stop the start.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail(std::strerror(errno), errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(std::strerror(errno), errno);
  if (S_ISDIR(info.st_mode)) return fail("is a directory", EISDIR);
  if (!S_ISREG(info.st_mode)) return fail("is no regular file");
  if (info.st_size > kMaxFile) return fail("is larger than 1 MiB");
  File file{{}, (info.st_mode & S_IROTH) != 0};
  file.text.resize(static_cast<std::size_t>(kMaxFile));
  std::size_t size = 0;
  while (size < file.text.size()) {
    const ssize_t got = ::read(fd.get(), file.text.data() + size, file.text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(std::strerror(errno), errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  file.text.resize(size);
  if (size == 0) return fail("is empty");
  return file;
}

class Reader {
 public:
  explicit Reader(const config::Config& config) : config_(config) {}

  std::vector<ipc::KeyPair> read(const config::Listen& listen) {
    std::vector<ipc::KeyPair> pairs;
    if (!listen.tls) return pairs;
    for (const auto& files : listen.tls->certificates) pairs.push_back(read(listen, files));
    return pairs;
  }

  std::vector<std::string> problems;
  std::vector<std::string> warnings;

 private:
  ipc::KeyPair read(const config::Listen& listen, const config::Certificate& files) {
    ipc::KeyPair pair;
    pair.certificate_path = config::resolve_path(config_, files.certificate);
    pair.certificate_pem = take(listen, "certificate", pair.certificate_path).text;
    // One file may hold both.
    const std::string key =
        files.key.empty() ? pair.certificate_path : config::resolve_path(config_, files.key);
    File key_file = take(listen, "key", key);
    if (key_file.open_to_all) {
      warnings.push_back(fmt::format("key {} can be read by every user of this system", key));
    }
    pair.key_pem = std::move(key_file.text);
    if (!files.key_password_file.empty()) {
      pair.key_password =
          take(listen, "key_password_file", config::resolve_path(config_, files.key_password_file))
              .text;
      // Editors end a file with a newline; no password does.
      while (pair.key_password.ends_with('\n') || pair.key_password.ends_with('\r')) {
        pair.key_password.pop_back();
      }
    }
    return pair;
  }

  File take(const config::Listen& listen, const char* what, const std::string& path) {
    auto file = read_small_file(path);
    if (file) return *std::move(file);
    std::string problem =
        fmt::format("[[listen]] {}: {} {}: {}", listen.address, what, path, file.error().message);
    // A combined file that is missing would be reported twice.
    if (problems.empty() || problems.back() != problem) problems.push_back(std::move(problem));
    return {};
  }

  const config::Config& config_;
};

}  // namespace

Result<KeyMaterial, std::vector<std::string>> read_key_material(const config::Config& config) {
  Reader reader(config);
  KeyMaterial material;
  for (const auto& listen : config.listen) material.pairs.push_back(reader.read(listen));
  if (!reader.problems.empty()) return Unexpected{std::move(reader.problems)};
  material.warnings = std::move(reader.warnings);
  return material;
}

Result<std::string> read_secret(const std::string& path) {
  const auto file = read_small_file(path);
  if (!file) return fail(path + ": " + file.error().message, file.error().code);
  std::string line = file->text.substr(0, file->text.find_first_of("\r\n"));
  if (line.empty()) return fail(path + ": its first line is empty");
  return line;
}

}  // namespace saola::control

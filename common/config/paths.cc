#include "common/config/paths.h"

#include <filesystem>
#include <system_error>

namespace saola::config {

std::string resolve_path(const Config& config, std::string_view path) {
  if (path.empty() || path.starts_with('/')) return std::string(path);
  while (path.starts_with("./")) path.remove_prefix(2);
  std::string whole = config.directory;
  if (path.empty() || path == ".") return whole;
  if (!whole.ends_with('/')) whole += '/';
  return whole.append(path);
}

std::string absolute_directory_of(std::string_view file) {
  std::error_code error;
  const auto directory = std::filesystem::absolute(file.empty() ? "." : file, error).parent_path();
  if (error || directory.empty()) return "/";  // the working directory was removed
  const std::string text = directory.lexically_normal().string();
  return text.size() > 1 && text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
}

}  // namespace saola::config

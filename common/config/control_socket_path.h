// Where the control socket is (docs/control.md): the same answer for the server that makes it and
// for the commands that look for it. Names only; nothing is opened.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/config/config.h"

namespace saola::config {

struct ControlSocketPlace {
  enum class Kind {
    kOff,        // server.control_socket = "off"
    kPath,       // server.control_socket
    kRuntime,    // in server.runtime_dir
    kDirectory,  // one socket per instance in a directory of the user's, named by process id
  };
  Kind kind = Kind::kOff;
  std::string path;       // kPath, kRuntime: the socket
  std::string directory;  // kDirectory; empty: this user has none
};

// `is_root` and `xdg_runtime_dir` (the environment variable; empty: not set) choose the directory.
ControlSocketPlace control_socket_place(const Config& config, bool is_root,
                                        std::string_view xdg_runtime_dir);

// /run/saola or $XDG_RUNTIME_DIR/saola; empty if there is none.
std::string default_control_directory(bool is_root, std::string_view xdg_runtime_dir);

// "4711.sock", and the process id of such a name.
std::string control_socket_name(long pid);
std::optional<long> control_socket_pid(std::string_view name);

}  // namespace saola::config

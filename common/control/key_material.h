// Certificates, keys and their passwords, read while the supervisor may: the edge that gets their
// text has no right to the files.
#pragma once

#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/core/result.h"
#include "common/ipc/control_message.h"

namespace saola::control {

struct KeyMaterial {
  std::vector<std::vector<ipc::KeyPair>> pairs;  // per listener; empty for a plain one
  std::vector<std::string> warnings;             // a key that everybody can read
};

// Whether the text is a certificate, and fits its key, is the edge's matter. All files that cannot
// be read are reported at once: "[[listen]] 0.0.0.0:8443: key /etc/saola/key.pem: Permission
// denied".
Result<KeyMaterial, std::vector<std::string>> read_key_material(const config::Config& config);

// The first line of a small file; the error names it.
Result<std::string> read_secret(const std::string& path);

}  // namespace saola::control

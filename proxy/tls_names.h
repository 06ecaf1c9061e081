// HostIndex: which certificates serve which host (RFC 9525 sections 6.3 to 6.5). Pure.
//
// A name is exact or has a wildcard that stands for one whole left-most label. For a host, its
// exact names come before wildcards, and of each key type the first certificate in order is
// offered: ECDSA and RSA side by side.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace saola::proxy {

// Lower case, without a final dot; addresses in their canonical form, without brackets. Empty for
// what cannot be a host. `space` holds the text that the result may point to.
std::string_view canonical_host(std::string_view host, std::string& space);

class HostIndex {
 public:
  struct Certificate {
    std::vector<std::string> names;  // DNS names and addresses as the certificate has them
    int key_type = 0;                // equal for certificates that exclude each other
  };
  using Set = std::vector<std::size_t>;  // indices of certificates, one for each key type

  // `certificates` is not empty; the first is the default.
  explicit HostIndex(const std::vector<Certificate>& certificates);

  // Sets that are offered together; the first is for hosts that no certificate names.
  const std::vector<Set>& sets() const { return sets_; }

  // Index in sets(); 0 as well if no certificate names `host`.
  std::size_t set_for(std::string_view host) const;
  bool covers(std::string_view host) const;
  bool certificate_covers(std::size_t certificate, std::string_view host) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  struct Entry {
    Set certificates;     // all that have the name, in order
    std::size_t set = 0;  // what to offer
  };
  using Map = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;

  static const Entry* lookup(const Map& map, std::string_view key);
  const Entry* find_wildcard(std::string_view canonical) const;
  std::size_t add_set(const std::vector<Certificate>& certificates, const Set& candidates);

  Map exact_;
  Map wildcard_;  // ".example.com" for *.example.com
  std::vector<Set> sets_;
};

}  // namespace saola::proxy

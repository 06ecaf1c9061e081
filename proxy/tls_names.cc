#include "proxy/tls_names.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "common/core/check.h"

namespace saola::proxy {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool canonical_address(int family, const std::string& text, std::string& out) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  std::array<char, INET6_ADDRSTRLEN> shown;
  if (::inet_pton(family, text.c_str(), bytes.data()) != 1) return false;
  if (::inet_ntop(family, bytes.data(), shown.data(), shown.size()) == nullptr) return false;
  out = shown.data();
  return true;
}

}  // namespace

std::string_view canonical_host(std::string_view host, std::string& space) {
  constexpr std::size_t kLongestName = 255;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty() || host.size() > kLongestName) return {};
  space.assign(host);
  std::transform(space.begin(), space.end(), space.begin(), lower);
  if (space.find(':') != std::string::npos) {
    std::string address;
    if (!canonical_address(AF_INET6, space, address)) return {};
    space = address;
  }
  return space;
}

HostIndex::HostIndex(const std::vector<Certificate>& certificates) {
  SAOLA_CHECK(!certificates.empty());
  std::string space;
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    for (const std::string& name : certificates[i].names) {
      const std::string_view canonical = canonical_host(name, space);
      if (canonical.empty()) continue;
      const bool is_wildcard = canonical.starts_with("*.");
      Map& map = is_wildcard ? wildcard_ : exact_;
      Set& having = map[std::string(canonical.substr(is_wildcard ? 1 : 0))].certificates;
      if (having.empty() || having.back() != i) having.push_back(i);
    }
  }
  // The default certificate, and others of its names with another key type.
  Set defaults{0};
  for (const Map* map : {&exact_, &wildcard_}) {
    for (const auto& [name, entry] : *map) {
      if (entry.certificates.front() == 0) {
        defaults.insert(defaults.end(), entry.certificates.begin() + 1, entry.certificates.end());
      }
    }
  }
  std::sort(defaults.begin(), defaults.end());
  add_set(certificates, defaults);
  for (auto& [suffix, entry] : wildcard_) entry.set = add_set(certificates, entry.certificates);
  for (auto& [name, entry] : exact_) {
    Set candidates = entry.certificates;
    if (const Entry* wider = find_wildcard(name)) {
      candidates.insert(candidates.end(), wider->certificates.begin(), wider->certificates.end());
    }
    entry.set = add_set(certificates, candidates);
  }
}

// Keeps the first candidate of each key type.
std::size_t HostIndex::add_set(const std::vector<Certificate>& certificates,
                               const Set& candidates) {
  Set set;
  for (const std::size_t candidate : candidates) {
    const auto same_type = [&](std::size_t other) {
      return certificates[other].key_type == certificates[candidate].key_type;
    };
    if (std::none_of(set.begin(), set.end(), same_type)) set.push_back(candidate);
  }
  const auto known = std::find(sets_.begin(), sets_.end(), set);
  if (known != sets_.end()) return static_cast<std::size_t>(known - sets_.begin());
  sets_.push_back(std::move(set));
  return sets_.size() - 1;
}

const HostIndex::Entry* HostIndex::lookup(const Map& map, std::string_view key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

const HostIndex::Entry* HostIndex::find_wildcard(std::string_view canonical) const {
  const std::size_t dot = canonical.find('.');
  if (dot == 0 || dot == std::string_view::npos) return nullptr;
  return lookup(wildcard_, canonical.substr(dot));
}

std::size_t HostIndex::set_for(std::string_view host) const {
  std::string space;
  const std::string_view canonical = canonical_host(host, space);
  if (const Entry* entry = lookup(exact_, canonical)) return entry->set;
  if (const Entry* entry = find_wildcard(canonical)) return entry->set;
  return 0;
}

bool HostIndex::covers(std::string_view host) const {
  std::string space;
  const std::string_view canonical = canonical_host(host, space);
  return lookup(exact_, canonical) != nullptr || find_wildcard(canonical) != nullptr;
}

bool HostIndex::certificate_covers(std::size_t certificate, std::string_view host) const {
  std::string space;
  const std::string_view canonical = canonical_host(host, space);
  const auto has_it = [certificate](const Entry* entry) {
    return entry != nullptr && std::find(entry->certificates.begin(), entry->certificates.end(),
                                         certificate) != entry->certificates.end();
  };
  return has_it(lookup(exact_, canonical)) || has_it(find_wildcard(canonical));
}

}  // namespace saola::proxy

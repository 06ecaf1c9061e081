#include "common/control/credentials.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <optional>

namespace saola::control {
namespace {

struct User {
  std::string name;  // empty: a number that nobody has
  uid_t uid = 0;
  std::optional<gid_t> gid;
};

std::optional<unsigned> to_id(const std::string& text) {
  unsigned id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  // The largest value means "no change" to setresuid(2).
  if (error != std::errc() || end != text.data() + text.size() || id == 0xffffffffU) {
    return std::nullopt;
  }
  return id;
}

Result<User> find_user(const std::string& user) {
  const auto id = to_id(user);
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr && id) entry = ::getpwuid(*id);
  if (entry != nullptr) return User{entry->pw_name, entry->pw_uid, entry->pw_gid};
  if (id) return User{"", *id, std::nullopt};
  return fail("[server] user: there is no user '" + user + "' on this system");
}

Result<gid_t> find_group(const std::string& group) {
  if (const ::group* entry = ::getgrnam(group.c_str())) return entry->gr_gid;
  if (const auto id = to_id(group)) return *id;
  return fail("[server] group: there is no group '" + group + "' on this system");
}

std::vector<gid_t> supplementary_groups(const std::string& user, gid_t gid) {
  std::vector<gid_t> groups(64);
  while (true) {
    int count = static_cast<int>(groups.size());
    if (::getgrouplist(user.c_str(), gid, groups.data(), &count) >= 0) {
      groups.resize(static_cast<std::size_t>(count));
      return groups;
    }
    groups.resize(groups.size() * 2);
  }
}

Result<Credentials> as_root(const std::string& user, const std::string& group) {
  Credentials wanted{true, ::geteuid(), ::getegid(), {}};
  User found;
  if (!user.empty()) {
    auto looked_up = find_user(user);
    if (!looked_up) return Unexpected{std::move(looked_up).error()};
    found = *std::move(looked_up);
    wanted.uid = found.uid;
    if (found.gid) wanted.gid = *found.gid;
  }
  if (!group.empty()) {
    auto gid = find_group(group);
    if (!gid) return Unexpected{std::move(gid).error()};
    wanted.gid = *gid;
  } else if (!user.empty() && !found.gid) {
    return fail("[server] user: " + user + " has no entry on this system; set group as well");
  }
  wanted.groups = found.name.empty() ? std::vector<gid_t>{wanted.gid}
                                     : supplementary_groups(found.name, wanted.gid);
  return wanted;
}

Result<Credentials> as_somebody(const std::string& user, const std::string& group) {
  if (!user.empty()) {
    auto found = find_user(user);
    if (!found) return Unexpected{std::move(found).error()};
    if (found->uid != ::geteuid()) {
      return fail("[server] user: only root can run its children as '" + user +
                  "'; start as root or leave it out");
    }
  }
  if (!group.empty()) {
    auto gid = find_group(group);
    if (!gid) return Unexpected{std::move(gid).error()};
    if (*gid != ::getegid()) {
      return fail("[server] group: only root can run its children in group '" + group +
                  "'; start as root or leave it out");
    }
  }
  return Credentials{};
}

}  // namespace

Result<Credentials> resolve_credentials(const std::string& user, const std::string& group) {
  if (user.empty() && group.empty()) return Credentials{};
  return ::geteuid() == 0 ? as_root(user, group) : as_somebody(user, group);
}

}  // namespace saola::control

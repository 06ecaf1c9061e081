#include "common/config/control_socket_path.h"

#include <gtest/gtest.h>

namespace saola::config {
namespace {

using Kind = ControlSocketPlace::Kind;

TEST(ControlSocketPlace, IsWhereTheConfigurationSays) {
  Config config;
  config.directory = "/etc/saola";
  config.server.runtime_dir = "run";
  auto place = control_socket_place(config, true, "");
  EXPECT_EQ(place.kind, Kind::kRuntime);
  EXPECT_EQ(place.path, "/etc/saola/run/saola.sock");
  config.server.control_socket = "my.sock";
  place = control_socket_place(config, true, "");
  EXPECT_EQ(place.kind, Kind::kPath);
  EXPECT_EQ(place.path, "/etc/saola/my.sock");
  config.server.control_socket = "off";
  EXPECT_EQ(control_socket_place(config, true, "").kind, Kind::kOff);
}

TEST(ControlSocketPlace, IsInTheUsersDirectoryOtherwise) {
  const Config config;
  EXPECT_EQ(control_socket_place(config, true, "/run/user/0").directory, "/run/saola");
  EXPECT_EQ(control_socket_place(config, false, "/run/user/7").directory, "/run/user/7/saola");
  EXPECT_EQ(control_socket_place(config, false, "relative").directory, "");
  EXPECT_EQ(control_socket_place(config, false, "").kind, Kind::kDirectory);
}

TEST(ControlSocketPlace, NamesSocketsByProcessId) {
  EXPECT_EQ(control_socket_name(4711), "4711.sock");
  EXPECT_EQ(control_socket_pid("4711.sock"), 4711);
  for (const char* other : {"saola.sock", "4711", ".sock", "-1.sock", "0.sock", "47x.sock"}) {
    EXPECT_EQ(control_socket_pid(other), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace saola::config

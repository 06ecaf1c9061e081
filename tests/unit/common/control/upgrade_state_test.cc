#include "common/control/upgrade_state.h"

#include <gmock/gmock.h>

#include <string>

namespace saola::control {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

UpgradeState example() {
  UpgradeState state;
  state.binary_path = "/opt/saola/bin/saola";
  state.binary = 10;
  state.last_generation = 7;
  state.last_worker_id = 42;
  state.listeners = {{"0.0.0.0:443", 11, true, "", 0, 0, -1},
                     {"unix:web\xff.sock", 12, true, "/run/web\xff.sock", 64769, 1234567, -1},
                     {"fd:3", 13, false, "", 0, 0, 3}};
  state.locks = {{"/run/saola.pid", 14}};
  state.processes = {{4711, 15, "edge", true, true},
                     {4712, 16, "worker app 41", false, true},
                     {4713, 17, "worker app 42", false, false}};
  auto& service = state.service;
  service.generation = 6;
  service.config_path = "/etc/saola.toml";
  service.edge_start = 18;
  service.worker_start = 19;
  service.error_log = 20;
  service.scoreboard = 21;
  service.wanted = {{"app", 2}};
  service.workers = {{4712, 41, 3, "app", "asgi", 100}};
  return state;
}

// One text in another's place; the test fails if it is not there.
std::string changed(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from << " in " << text;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(UpgradeState, TheNextBinaryReadsWhatConcernsIt) {
  const auto read = parse_upgrade_state(to_json(example()));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->binary_path, "/opt/saola/bin/saola");
  EXPECT_EQ(read->binary, 10);
  EXPECT_FALSE(read->daemon);
  EXPECT_EQ(read->last_generation, 7U);
  EXPECT_EQ(read->last_worker_id, 42U);
  ASSERT_EQ(read->listeners.size(), 3U);
  EXPECT_EQ(read->listeners[1].address, "unix:web\xff.sock") << "paths are bytes";
  EXPECT_EQ(read->listeners[1].path, "/run/web\xff.sock");
  EXPECT_EQ(read->listeners[1].device, 64769U);
  EXPECT_EQ(read->listeners[1].inode, 1234567U);
  EXPECT_EQ(read->listeners[1].inherited, -1);
  EXPECT_EQ(read->listeners[2].inherited, 3);
  EXPECT_FALSE(read->listeners[2].ipv6_only);
  ASSERT_EQ(read->locks.size(), 1U);
  EXPECT_EQ(read->locks[0].path, "/run/saola.pid");
  EXPECT_EQ(read->locks[0].fd, 14);
  ASSERT_EQ(read->processes.size(), 3U);
  EXPECT_EQ(read->processes[0].pid, 4711);
  EXPECT_TRUE(read->processes[0].is_edge);
  EXPECT_EQ(read->processes[2].control, 17);
  EXPECT_EQ(read->processes[2].name, "worker app 42");
  EXPECT_FALSE(read->processes[2].ready);
}

TEST(UpgradeState, AServerInTheBackgroundStaysThere) {
  UpgradeState state = example();
  state.daemon = true;
  EXPECT_TRUE(parse_upgrade_state(to_json(state)).value().daemon);
}

TEST(UpgradeState, EveryDescriptorLivesThroughTheExec) {
  const auto read = parse_upgrade_state(to_json(example()));
  ASSERT_TRUE(read);
  EXPECT_THAT(read->descriptors,
              UnorderedElementsAre(3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21));
}

TEST(UpgradeState, WhatAnotherBinarySaysOfItsServiceIsNotRead) {
  const std::string text = to_json(example());
  const auto read = parse_upgrade_state(changed(text, "\"scoreboard\":21", "\"blackboard\":[]"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read->service.workers.empty());
}

TEST(UpgradeState, TheBinaryThatComesBackFindsItsService) {
  const auto text = with_failure(to_json(example()), "no database\nat all");
  ASSERT_TRUE(text);
  const auto read = parse_upgrade_state(*text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->failure, "no database\nat all");
  EXPECT_EQ(read->service.generation, 6U);
  EXPECT_EQ(read->service.config_path, "/etc/saola.toml");
  EXPECT_EQ(read->service.edge_start, 18);
  EXPECT_EQ(read->service.access_log, -1) << "there is none";
  EXPECT_EQ(read->service.wanted.at("app"), 2U);
  ASSERT_EQ(read->service.workers.size(), 1U);
  EXPECT_EQ(read->service.workers[0].id, 41U);
  EXPECT_EQ(read->service.workers[0].scoreboard_slot, 3U);
  EXPECT_EQ(read->service.workers[0].interface, "asgi");
  EXPECT_EQ(read->service.workers[0].slots, 100U);
}

TEST(UpgradeState, AFailureKeepsAServiceThatIsNotUnderstood) {
  const std::string text = to_json(example());
  const auto failed =
      with_failure(changed(text, "\"scoreboard\":21", "\"blackboard\":[1,2]"), "why");
  ASSERT_TRUE(failed);
  EXPECT_THAT(*failed, HasSubstr("\"blackboard\":[1,2]"));
}

TEST(UpgradeState, AnotherVersionIsRefused) {
  const auto read =
      parse_upgrade_state(changed(to_json(example()), "\"version\":1", "\"version\":2"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message, "upgrade state: version 2; this binary reads version 1");
}

TEST(UpgradeState, UnknownMembersArePassedOver) {
  EXPECT_TRUE(parse_upgrade_state(
      changed(to_json(example()), "\"version\":1", "\"colour\":\"red\",\"version\":1")));
}

TEST(UpgradeState, NonsenseIsRefused) {
  const std::string text = to_json(example());
  for (const char* nonsense : {"", "null", "[]", "{}", "{\"version\":1}", "{\"version\":-1}",
                               "{\"version\":\"1\"}", "{\"version\":1"}) {
    EXPECT_FALSE(parse_upgrade_state(nonsense)) << nonsense;
    EXPECT_FALSE(with_failure(nonsense, "why")) << nonsense;
  }
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"pid\":4711", "\"pid\":1")));
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"pid\":4711", "\"pid\":-1")))
      << "kill(-1) means everybody";
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"pid\":4711", "\"pid\":99999999999")));
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"fd\":14", "\"fd\":2")));
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"fd\":14", "\"fd\":-5")));
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"fd\":14", "\"fd\":1.5")));
  EXPECT_FALSE(parse_upgrade_state(changed(text, "\"binary\":10", "\"binary\":null")));
}

}  // namespace
}  // namespace saola::control

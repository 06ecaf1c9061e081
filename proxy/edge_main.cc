#include "proxy/edge_main.h"

#include <poll.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>

#include "common/config/config_loader.h"
#include "proxy/edge.h"

namespace saola::proxy {
namespace {

struct Start {
  Edge::Boot boot;
  UniqueFd error_log;
};

// The first message, with everything it brings.
Result<Start> receive_start(ipc::ControlChannel& control) {
  for (;;) {
    pollfd ready{control.fd(), POLLIN, 0};
    ::poll(&ready, 1, -1);
    auto received = control.receive();
    if (!received) return Unexpected{received.error()};
    if (received->again) continue;
    if (received->closed) return fail("the supervisor closed the control channel");
    const auto message = ipc::parse_control_message(received->text);
    if (!message) return Unexpected{message.error()};
    const auto* init = std::get_if<ipc::EdgeInit>(&*message);
    auto& fds = received->fds;
    const std::size_t before = init != nullptr && init->has_access_log ? 4 : 3;
    if (init == nullptr || fds.size() != before + init->listeners) {
      return fail("the supervisor's first message is no EdgeInit with its descriptors");
    }
    const auto text = ipc::read_memory_file(fds[0]);
    if (!text) return Unexpected{text.error()};
    auto start = ipc::parse_edge_start(*text);
    if (!start) return Unexpected{start.error()};
    auto config = config::load_config({start->config_dir + "/saola.toml", start->config_toml, {}});
    if (!config) return fail("configuration: " + config::to_string(config.error().front()));
    Start result{{std::move(*config), std::move(start->key_pairs), {}, UniqueFd()},
                 std::move(fds[2])};
    if (init->has_access_log) result.boot.access_log = std::move(fds[3]);
    for (std::size_t i = before; i < fds.size(); ++i) {
      result.boot.listeners.push_back(std::move(fds[i]));
    }
    return result;
  }
}

}  // namespace

int run_edge(int control_fd) {
  ::prctl(PR_SET_NAME, "saola");
  ::prctl(PR_SET_DUMPABLE, 0);  // private keys stay out of core files
  std::signal(SIGPIPE, SIG_IGN);
  // The supervisor says what to do; a terminal's or a container's signals are for it alone.
  for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) {
    std::signal(number, SIG_IGN);
  }
  ipc::ControlChannel control{UniqueFd(control_fd)};
  auto start = receive_start(control);
  if (!start) {
    std::fprintf(stderr, "saola: edge: %s\n", start.error().message.c_str());
    return 1;
  }
  LineWriter error_log(std::move(start->error_log));
  EventLoop loop;
  Edge edge(loop, control, error_log, std::move(start->boot));
  if (const auto started = edge.start(); !started) {
    const auto told = control.send(ipc::to_json(ipc::BootFailed{started.error().message, false}));
    if (!told) std::fprintf(stderr, "saola: edge: %s\n", started.error().message.c_str());
    return 4;
  }
  return edge.run();
}

}  // namespace saola::proxy

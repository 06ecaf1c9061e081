#include "proxy/edge_main.h"

#include <poll.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>

#include "proxy/edge.h"

namespace saola::proxy {
namespace {

constexpr std::size_t kErrorLogBytes = 1U << 20;  // that may wait for the disk

// The first message, with everything it brings.
Result<std::unique_ptr<EdgeSetup>> receive_start(ipc::ControlChannel& control) {
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
    if (init == nullptr) return fail("the supervisor's first message is no EdgeInit");
    auto setup = make_edge_setup(std::move(received->fds), init->has_access_log, init->listeners);
    if (setup) (*setup)->generation = init->generation;
    return setup;
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
  auto setup = receive_start(control);
  if (!setup) {
    const auto told = control.send(ipc::to_json(ipc::BootFailed{setup.error().message, false}));
    if (!told) std::fprintf(stderr, "saola: edge: %s\n", setup.error().message.c_str());
    return 4;
  }
  LogFan error_log(LogFan::Threads::kOwn, kErrorLogBytes, std::move((*setup)->error_log));
  EventLoop loop;
  Edge edge(loop, control, error_log, *std::move(setup));
  edge.start();
  return edge.run();
}

}  // namespace saola::proxy

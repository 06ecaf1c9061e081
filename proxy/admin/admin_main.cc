#include "proxy/admin/admin_main.h"

#include <poll.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>

#include "common/config/log_plan.h"
#include "proxy/admin/admin.h"

namespace saola::proxy {
namespace {

constexpr std::size_t kErrorLogBytes = 1U << 20;  // that may wait for the disk

Result<AdminSetup> receive_setup(ipc::ControlChannel& control) {
  for (;;) {
    pollfd ready{control.fd(), POLLIN, 0};
    ::poll(&ready, 1, -1);
    auto received = control.receive();
    if (!received) return Unexpected{received.error()};
    if (received->again) continue;
    if (received->closed) return fail("the supervisor closed the control channel");
    const auto message = ipc::parse_control_message(received->text);
    if (!message) return Unexpected{message.error()};
    const auto* init = std::get_if<ipc::AdminInit>(&*message);
    if (init == nullptr) return fail("the supervisor's first message is no AdminInit");
    return make_admin_setup(*init, std::move(received->fds));
  }
}

}  // namespace

int run_admin(int control_fd) {
  ::prctl(PR_SET_NAME, "saola");
  ::prctl(PR_SET_DUMPABLE, 0);  // the token and a private key stay out of core files
  std::signal(SIGPIPE, SIG_IGN);
  for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) {
    std::signal(number, SIG_IGN);
  }
  ipc::ControlChannel control{UniqueFd(control_fd)};
  auto setup = receive_setup(control);
  if (!setup) {
    const auto told = control.send(ipc::to_json(ipc::BootFailed{setup.error().message, false}));
    if (!told) std::fprintf(stderr, "saola: admin: %s\n", setup.error().message.c_str());
    return 1;
  }
  LogFan error_log(LogFan::Threads::kOwn, kErrorLogBytes, std::move(setup->error_log));
  error_log.plan(config::error_log_plan(setup->config.log), {}, false);
  auto sockets = std::move(setup->sockets);
  EventLoop loop;
  Admin admin(loop, control, error_log, *std::move(setup));
  admin.start(std::move(sockets));
  return admin.run();
}

}  // namespace saola::proxy

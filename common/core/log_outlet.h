// Where the bytes of a log go: a file, a pipe, a syslog server, journald. No call here ever waits.
//
// Used by one thread at a time. Standard output and error are shared with other processes, so their
// flags are never changed: a pipe or a terminal is opened once more, through /proc, and the new
// description does not block; where that is not allowed, at most what poll(2) has room for is
// written.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/core/unique_fd.h"

namespace saola {

class LogOutlet {
 public:
  enum class State : std::uint8_t {
    kOk,    // there may be room for more
    kFull,  // wait() says when there is room
    kDown,  // a full disk, a reader that has gone, a server that is away: try again later
  };
  struct Outcome {
    std::size_t taken = 0;  // bytes from the start
    State state = State::kOk;
  };
  virtual ~LogOutlet() = default;
  // `bytes`: whole lines or framed records (record_style.h), at least one.
  virtual Outcome write(std::string_view bytes) = 0;
  // Waits until there may be room; false: not within `limit`.
  virtual bool wait(std::chrono::milliseconds limit) = 0;
};

// One write(2) per call; into pipes and the like, which other processes may share, one of at most
// PIPE_BUF bytes of whole lines: the kernel keeps those in one piece.
std::unique_ptr<LogOutlet> make_file_outlet(UniqueFd file);

struct LogAddress {
  enum class Kind : std::uint8_t { kUnix, kUdp, kTcp, kJournal };
  Kind kind = Kind::kUnix;
  std::string host;  // or the path of a Unix socket
  std::string port;
  bool operator==(const LogAddress&) const = default;
};

// "unix:/dev/log", "udp:host:514", "tcp:[::1]:601"; the port may be left out: 514. False: no
// address.
bool parse_syslog_address(std::string_view text, LogAddress& address);

// Connects with the first record, and again when the connection has broken; takes whole records
// only, so none arrives in half. A Unix socket may be one for datagrams or for a stream. Datagrams
// of a call leave in one sendmmsg(2). What is too long for one is cut; for journald, handed over as
// a memory file.
//
// A name is looked up for the first connection, which may take its time, and if `look_up_again`
// (false for callers that must not wait) for each later one.
std::unique_ptr<LogOutlet> make_socket_outlet(LogAddress address, bool look_up_again);

}  // namespace saola

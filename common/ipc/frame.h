// Frames between the edge and a worker: the one place that documents their layout.
//
// They travel over a Unix stream socket pair, both ways, in host byte order (same machine, same
// binary; the version in HELLO proves the latter).
//
//   header   u32 stream   u16 length   u8 type   u8 flags          then `length` bytes of payload
//
// A stream id is (sequence << 16 | slot): the slot is an index into both sides' stream tables and
// into the worker's claim table; the sequence makes a reused slot another stream. Stream 0 is the
// connection. A payload has at most kMaxPayload bytes. A head that is longer is cut: every piece
// but the last has kMore.
//
//   type            direction        payload
//   HELLO           both, first      u32 magic, u16 version, u16 reserved, u32 response window,
//                                    u32 request window (initial credit per stream, bytes)
//   REQUEST         edge -> worker   RequestMeta below, then fields. kEnd: no body follows.
//                                    kFd: the complete body is in a file; one descriptor travels
//                                    with the frame.
//   BODY            both             body bytes. kEnd: the last of this direction (may be empty)
//   RESPONSE_HEAD   worker -> edge   u16 status, u16 field count, i64 content length (-1: not
//   known),
//                                    str16 reason phrase (empty: the usual one), fields. kEnd: no
//                                    body follows. kInterim: 1xx, a final head follows.
//   TRAILERS        both             u16 field count, fields. Always kEnd.
//   ABORT           both             u8 AbortReason. From the edge: the client has gone or its time
//   is
//                                    up, stop. From a worker: the answer is broken off.
//   WINDOW          both             u32 credit in bytes for the stream's other direction
//   PING / PONG     both             u64 opaque, stream 0
//   DRAIN           both             stream 0. Edge: no REQUEST follows. Worker: send me no more.
//
// Every claimed stream is ended by its worker once (kEnd, TRAILERS or ABORT), also when the edge
// has aborted it: until then it counts as running there.
//
// A field is u8 name id (0: str16 name follows, lower case), str16 value. str16 is u16 length,
// bytes. Names with an id are in header_names.h. Credit: BODY payload bytes of one direction of a
// stream never exceed the initial window plus all WINDOW credit received. HEAD, TRAILERS, ABORT
// cost none.
#pragma once

#include <cstddef>
#include <cstdint>

namespace saola::ipc {

inline constexpr std::uint32_t kMagic = 0x4c4f4153;  // "SAOL"
inline constexpr std::uint16_t kWireVersion = 2;
inline constexpr std::size_t kMaxPayload = 32 * 1024;
inline constexpr std::size_t kHeaderSize = 8;
// Longest head after joining its pieces; the edge's limits keep requests far below.
inline constexpr std::size_t kMaxHead = 1024 * 1024;
// Body bytes that may be sent before the worker has claimed the request; the edge keeps them.
inline constexpr std::uint32_t kRequestWindow = 64 * 1024;
inline constexpr std::uint32_t kResponseWindow = 256 * 1024;

enum class FrameType : std::uint8_t {
  kHello = 1,
  kRequest,
  kBody,
  kResponseHead,
  kTrailers,
  kAbort,
  kWindow,
  kPing,
  kPong,
  kDrain,
};

enum FrameFlag : std::uint8_t {
  kEnd = 1,
  kMore = 2,
  kFd = 4,
  kInterim = 8,
};

enum class AbortReason : std::uint8_t {
  kClientGone = 1,  // edge: the client closed or its connection failed
  kTimeout = 2,     // edge: a request time-out; the client has its 504
  kShutdown = 3,    // edge: going away
  kAppFailed = 4,   // worker: the application failed after its head was sent
  kProtocol = 5,    // worker: the application broke WSGI or ASGI after its head was sent
};

struct FrameHeader {
  std::uint32_t stream;
  std::uint16_t length;
  FrameType type;
  std::uint8_t flags;
};
static_assert(sizeof(FrameHeader) == kHeaderSize);

inline constexpr std::size_t slot_of(std::uint32_t stream) { return stream & 0xffff; }
inline constexpr std::uint32_t make_stream(std::uint32_t sequence, std::size_t slot) {
  return sequence << 16 | static_cast<std::uint32_t>(slot);
}

}  // namespace saola::ipc

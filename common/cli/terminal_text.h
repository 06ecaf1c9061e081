// Text of others (paths of requests, tracebacks, names) for a terminal: nothing in it can move the
// cursor, change a title or forge a line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace saola::cli {

// Control characters, C1 ones included, and bytes that are not UTF-8 become \xHH; no line breaks.
std::string terminal_line(std::string_view text);
// The same, but line breaks stay and tabs become blanks.
std::string terminal_block(std::string_view text);

// At most `width` columns, counting a character as one; what is cut ends with "…". `text` comes
// from terminal_line().
std::string clipped(std::string_view text, std::size_t width);
std::size_t columns(std::string_view text);
// Filled with blanks up to `width` columns, or clipped.
std::string left(std::string_view text, std::size_t width);
std::string right(std::string_view text, std::size_t width);

// "250ms", "12.3s", "4m05s", "3h12m", "5d02h"; and bytes: "512 B", "1.5 MiB".
std::string short_time(double seconds);
std::string short_bytes(double bytes);

}  // namespace saola::cli

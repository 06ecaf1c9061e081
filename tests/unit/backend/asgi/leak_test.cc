// What ten thousand requests leave behind: nothing.
#include <gmock/gmock.h>

#include "asgi_fixture.h"
#include "loops.h"

namespace saola::backend::asgi {
namespace {

using Leaks = AsgiTest;

TEST_P(Leaks, TenThousandRequestsOfEveryKindLeaveNoObjectBehind) {
  // After the second thousand and after eight thousand more, both after a collection. Free lists
  // come and go by some hundred blocks; a block lost by one kind of request alone would be a
  // thousand.
  constexpr std::string_view kSource = R"(
import asyncio, gc, sys
counts, blocks, requests = [], [], 0
shared = b"shared value"
references = []
def take_stock():
    gc.collect()
    counts.append(len(gc.get_objects()))
    blocks.append(sys.getallocatedblocks())
    references.append(sys.getrefcount(shared))
async def app(scope, receive, send):
    global requests
    if scope["type"] != "http":
        raise NotImplementedError
    requests += 1
    if scope["path"] == "/stock":
        take_stock()
    if scope["path"] == "/raise":
        raise ValueError(scope)
    if scope["path"] == "/wait":
        await asyncio.wait([asyncio.create_task(receive()) for _ in range(2)],
                           return_when=asyncio.FIRST_COMPLETED)
        disconnect = asyncio.create_task(receive())
        await asyncio.sleep(0)
        disconnect.cancel()
    if scope["path"] == "/return":
        return
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"x-shared", shared), (b"X-Made", b"%d" % requests)]})
    await send({"type": "http.response.body", "body": shared, "more_body": scope["path"] == "/half"})
grown = lambda: (counts[-1] - counts[1], abs(blocks[-1] - blocks[1]) < 700, references[-1] - references[1])
)";
  serve(kSource, [](FakeEdge& edge) {
    constexpr const char* kPaths[] = {"/", "/wait", "/raise", "/return", "/half", "/", "/", "/"};
    const auto round = [&](int count) {
      std::vector<std::uint32_t> streams;
      for (int i = 0; i < count; ++i) {
        streams.push_back(edge.request({.path = kPaths[i % 8]}));
        if (i % 50 != 49) continue;
        for (const std::uint32_t stream : streams) edge.answer(stream);
        streams.clear();
        edge.forget();
      }
    };
    for (const int count : {1000, 1000, 8000}) {
      round(count);
      edge.exchange({.path = "/stock"});
    }
  });
  EXPECT_EQ(evaluate("grown()"), "(0, True, 0)");
}

SAOLA_ON_BOTH_LOOPS(Leaks);

}  // namespace
}  // namespace saola::backend::asgi

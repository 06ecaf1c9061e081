#include "proxy/response_store.h"

#include "tests/unit/proxy/edge/spool_fixture.h"

namespace saola::proxy {
namespace {

class ResponseStoreTest : public SpoolFixture {
 protected:
  // Takes everything out in pieces, waiting for the disk where needed.
  std::string drain(ResponseStore& store) {
    std::string out;
    const bool done = run_until([&] {
      while (!store.front().empty()) {
        const auto piece = store.front().substr(0, 10000);
        out.append(piece);
        store.pop(piece.size());
      }
      return store.empty() || store.failed();
    });
    EXPECT_TRUE(done);
    return out;
  }
};

TEST_F(ResponseStoreTest, KeepsASmallAnswerInMemory) {
  ResponseStore store(pool_, space_, {1 << 20, 1 << 20}, [] {});
  EXPECT_TRUE(store.empty());
  store.push("hello ");
  store.push("world");
  EXPECT_EQ(store.stored(), 11U);
  EXPECT_EQ(drain(store), "hello world");
  EXPECT_TRUE(store.empty());
  EXPECT_EQ(space_.used(), 0U);
}

TEST_F(ResponseStoreTest, WithoutSpoolItHasNoRoomAboveItsMemory) {
  ResponseStore store(pool_, space_, {1000, 0}, [] {});
  EXPECT_TRUE(store.has_room());
  store.push(std::string(1000, 'x'));
  EXPECT_FALSE(store.has_room());
  store.push("what was under way is kept all the same");
  EXPECT_EQ(drain(store).size(), 1000U + 39U);
  EXPECT_TRUE(store.has_room());
}

TEST_F(ResponseStoreTest, GivesBackEveryByteInOrderThroughTheDisk) {
  ResponseStore store(pool_, space_, {100000, 32U << 20}, [] {});
  const std::string body = pattern(9'000'000);
  for (std::size_t at = 0; at < body.size(); at += 30000) {
    store.push(std::string_view(body).substr(at, 30000));
    ASSERT_TRUE(run_until([&] { return store.has_room(); }));
  }
  EXPECT_GT(store.spooled(), 0U);
  EXPECT_TRUE(drain(store) == body);
}

TEST_F(ResponseStoreTest, WritesAndReadsInterleaveInOrder) {
  ResponseStore store(pool_, space_, {50000, 32U << 20}, [] {});
  const std::string body = pattern(4'000'000, 7);
  std::string out;
  std::size_t at = 0;
  ASSERT_TRUE(run_until([&] {
    // As much as goes without the disk; then one turn for it.
    for (bool moved = true; moved;) {
      moved = at < body.size() && store.has_room();
      if (moved) {
        store.push(std::string_view(body).substr(at, 40000));
        at += std::min<std::size_t>(40000, body.size() - at);
      }
      const auto piece = store.front().substr(0, 9000);
      out.append(piece);
      if (!piece.empty()) store.pop(piece.size());
      moved = moved || !piece.empty();
    }
    return at == body.size() && store.empty();
  }));
  EXPECT_TRUE(out == body);
}

TEST_F(ResponseStoreTest, AFullDiskLosesNothing) {
  SpoolSpace small(directory_, 600'000);
  ResponseStore store(pool_, small, {100000, 32U << 20}, [] {});
  const std::string body = pattern(1'500'000, 3);
  std::size_t at = 0;
  // A worker pushes while it has credit; here: while there is room, or the client has taken some.
  std::string out;
  ASSERT_TRUE(run_until([&] {
    while (at < body.size() && store.has_room()) {
      store.push(std::string_view(body).substr(at, 50000));
      at += std::min<std::size_t>(50000, body.size() - at);
    }
    const auto piece = store.front().substr(0, 20000);
    out.append(piece);
    if (!piece.empty()) store.pop(piece.size());
    return at == body.size() && store.empty();
  }));
  EXPECT_FALSE(store.failed());
  EXPECT_TRUE(out == body);
}

TEST_F(ResponseStoreTest, AnUnwritableDirectoryLosesNothing) {
  SpoolSpace nowhere(directory_ + "/missing", 64U << 20);
  ResponseStore store(pool_, nowhere, {1000, 32U << 20}, [] {});
  const std::string body = pattern(60000);
  for (int i = 0; i < 6; ++i)
    store.push(std::string_view(body).substr(10000U * unsigned(i), 10000));
  EXPECT_TRUE(drain(store) == body);
}

TEST_F(ResponseStoreTest, ItsSpaceIsGivenBack) {
  {
    ResponseStore store(pool_, space_, {1000, 32U << 20}, [] {});
    for (int i = 0; i < 20; ++i) store.push(std::string(100000, 'x'));
    ASSERT_TRUE(run_until([&] { return store.spooled() > 0; }));
    EXPECT_GT(space_.used(), 0U);
  }
  EXPECT_EQ(space_.used(), 0U);
}

}  // namespace
}  // namespace saola::proxy

#include "common/ipc/control_channel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace saola::ipc {
namespace {

using testing::HasSubstr;

class ControlChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    auto [a, b] = ControlChannel::make_pair().value();
    left_ = ControlChannel(std::move(a));
    right_ = ControlChannel(std::move(b));
  }
  ControlChannel left_{UniqueFd()};
  ControlChannel right_{UniqueFd()};
};

TEST_F(ControlChannelTest, KeepsMessagesApart) {
  ASSERT_TRUE(left_.send("one"));
  ASSERT_TRUE(left_.send("two"));
  EXPECT_EQ(right_.receive()->text, "one");
  EXPECT_EQ(right_.receive()->text, "two");
  EXPECT_TRUE(right_.receive()->again);
}

TEST_F(ControlChannelTest, CarriesTheLargestMessageAndRefusesALargerOne) {
  const std::string largest(ControlChannel::kMaxMessage, 'x');
  ASSERT_TRUE(left_.send(largest));
  EXPECT_FALSE(left_.wants_write()) << "the socket's buffer takes one at least";
  EXPECT_EQ(right_.receive()->text, largest);
  EXPECT_FALSE(left_.send(largest + "x"));
  EXPECT_FALSE(left_.send(""));
}

TEST_F(ControlChannelTest, HandsOverDescriptorsCloseOnExec) {
  const UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(::write(file.get(), "text", 4), 4);
  ASSERT_TRUE(left_.send("take", {file.get(), STDERR_FILENO}));
  const auto received = right_.receive();
  ASSERT_TRUE(received);
  ASSERT_EQ(received->fds.size(), 2U);
  char text[5] = {};
  EXPECT_EQ(::pread(received->fds[0].get(), text, 4, 0), 4);
  EXPECT_STREQ(text, "text");
  EXPECT_NE(::fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ControlChannelTest, CarriesAsManyDescriptorsAsItSays) {
  const std::vector<int> most(ControlChannel::kMaxFds, STDERR_FILENO);
  ASSERT_TRUE(left_.send("all", most));
  EXPECT_EQ(right_.receive()->fds.size(), most.size());
  EXPECT_FALSE(left_.send("more", std::vector<int>(most.size() + 1, STDERR_FILENO)));
}

TEST_F(ControlChannelTest, KeepsWhatTheSocketDoesNotTakeInOrderWithItsDescriptors) {
  const std::string large(100 * 1024, 'x');
  int sent = 0;
  for (; !left_.wants_write(); ++sent) ASSERT_TRUE(left_.send(large + std::to_string(sent)));
  {
    const UniqueFd file(::memfd_create("kept", MFD_CLOEXEC));
    ASSERT_EQ(::write(file.get(), "kept", 4), 4);
    ASSERT_TRUE(left_.send("last", {file.get()}));
  }  // the sender closes its own at once

  for (int i = 0; i < sent; ++i) {
    const auto received = right_.receive();
    ASSERT_TRUE(received);
    EXPECT_EQ(received->text, large + std::to_string(i));
    ASSERT_TRUE(left_.flush());
  }
  const auto last = right_.receive();
  EXPECT_EQ(last->text, "last");
  ASSERT_EQ(last->fds.size(), 1U);
  char text[5] = {};
  EXPECT_EQ(::pread(last->fds[0].get(), text, 4, 0), 4);
  EXPECT_STREQ(text, "kept");
  EXPECT_FALSE(left_.wants_write());
}

TEST_F(ControlChannelTest, TellsThatTheOtherSideHasGone) {
  right_ = ControlChannel(UniqueFd());
  EXPECT_TRUE(left_.receive()->closed);
  EXPECT_FALSE(left_.send("anybody?"));
}

TEST_F(ControlChannelTest, DeliversTheLastWordsOfAPeerThatDidNotReadOurs) {
  ASSERT_TRUE(left_.send("never read"));
  ASSERT_TRUE(right_.send("last words"));
  right_ = ControlChannel(UniqueFd());
  EXPECT_EQ(left_.receive()->text, "last words");
  EXPECT_TRUE(left_.receive()->closed);
}

TEST_F(ControlChannelTest, AnOversizedPacketBreaksTheChannel) {
  const std::string oversized(ControlChannel::kMaxMessage + 1, 'x');
  ASSERT_EQ(::send(left_.fd(), oversized.data(), oversized.size(), 0),
            static_cast<ssize_t>(oversized.size()));
  const auto received = right_.receive();
  ASSERT_FALSE(received);
  EXPECT_THAT(received.error().message, HasSubstr("too long"));
}

}  // namespace
}  // namespace saola::ipc

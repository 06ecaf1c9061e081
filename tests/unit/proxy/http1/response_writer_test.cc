#include "proxy/http1/response_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

namespace saola::proxy::http1 {
namespace {

using ipc::Field;
using ipc::HttpVersion;
using ipc::Method;
using testing::HasSubstr;
using testing::Not;

Field field(std::string_view name, std::string_view value) {
  return {ipc::header_name_id(name), name, value};
}

struct Written {
  std::string text;
  WrittenHead head;
};

Written write(std::uint16_t status, std::vector<Field> fields, std::int64_t length = -1,
              ResponseOptions options = {}) {
  ipc::ResponseHeadView view{status, length, {}, std::move(fields)};
  Written written;
  written.text = "before";
  written.head = write_response_head(written.text, view, options);
  EXPECT_TRUE(written.text.starts_with("before"));
  written.text.erase(0, 6);
  EXPECT_TRUE(written.text.ends_with("\r\n\r\n"));
  return written;
}

TEST(ResponseWriter, WritesTheAppsFieldsThenItsOwn) {
  const ResponseOptions options{.server = "saola", .date = "DATE", .request_id = "id-1"};
  const auto written = write(200,
                             {field("content-type", "text/plain"), field("set-cookie", "a=1"),
                              field("set-cookie", "b=2"), field("x-custom", "")},
                             3, options);
  EXPECT_EQ(written.text,
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n"
            "x-custom: \r\ndate: DATE\r\nserver: saola\r\nx-request-id: id-1\r\n"
            "content-length: 3\r\n\r\n");
  EXPECT_EQ(written.head.framing, Framing::kLength);
  EXPECT_EQ(written.head.content_length, 3);
  EXPECT_TRUE(written.head.keep_alive);
}

TEST(ResponseWriter, LetsTheAppsDateServerAndRequestIdWin) {
  const ResponseOptions options{.server = "saola", .date = "DATE", .request_id = "id-1"};
  const auto written = write(
      200, {field("date", "D"), field("server", "S"), field("x-request-id", "R")}, 0, options);
  EXPECT_EQ(written.text,
            "HTTP/1.1 200 OK\r\ndate: D\r\nserver: S\r\nx-request-id: R\r\n"
            "content-length: 0\r\n\r\n");
}

TEST(ResponseWriter, AddsNothingThatIsOff) {
  EXPECT_EQ(write(200, {}, 0).text, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

TEST(ResponseWriter, ChoosesTheFramingThatTheClientUnderstands) {
  auto written = write(200, {});
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  EXPECT_EQ(written.head.framing, Framing::kChunked);
  EXPECT_EQ(written.head.content_length, -1);

  written = write(200, {}, -1, {.request_version = HttpVersion::k10});
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(written.head.framing, Framing::kUntilClose);
  EXPECT_FALSE(written.head.keep_alive);

  written = write(200, {field("content-length", "7")}, -1, {.request_version = HttpVersion::k10});
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(written.head.keep_alive);
}

TEST(ResponseWriter, SaysWhenTheConnectionEnds) {
  EXPECT_THAT(write(200, {}, 0, {.keep_alive = false}).text, HasSubstr("connection: close\r\n"));
  const auto by_app = write(200, {field("connection", "x, Close")}, 0);
  EXPECT_THAT(by_app.text, HasSubstr("connection: close\r\n"));
  EXPECT_FALSE(by_app.head.keep_alive);
}

TEST(ResponseWriter, PrefersTheAppsContentLength) {
  const auto written = write(200, {field("content-length", "7")}, 3);
  EXPECT_EQ(written.head.content_length, 7);
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
}

TEST(ResponseWriter, WritesAContentLengthGivenTwiceAlikeOnce) {
  const auto written = write(200, {field("content-length", "7"), field("content-length", "7")});
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
}

TEST(ResponseWriter, DropsAContentLengthThatIsNoNumberOrContradictsItself) {
  for (const auto* value : {"", "-1", "+1", "1,1", "x", "99999999999999999999"}) {
    const auto written = write(200, {field("content-length", value)});
    EXPECT_EQ(written.head.framing, Framing::kChunked) << value;
    EXPECT_THAT(written.text, Not(HasSubstr("content-length"))) << value;
  }
  const auto written = write(200, {field("content-length", "1"), field("content-length", "2")}, 9);
  EXPECT_EQ(written.head.content_length, 9);
}

TEST(ResponseWriter, TellsNoLengthWhereNoneMayBe) {
  for (const std::uint16_t status : {std::uint16_t{101}, std::uint16_t{204}}) {
    const auto written = write(status, {field("content-length", "5")}, 5);
    EXPECT_EQ(written.head.framing, Framing::kNone);
    EXPECT_THAT(written.text, Not(HasSubstr("content-length"))) << status;
    EXPECT_THAT(written.text, Not(HasSubstr("transfer-encoding"))) << status;
  }
  EXPECT_EQ(write(304, {}, 0).text, "HTTP/1.1 304 Not Modified\r\n\r\n");
  EXPECT_EQ(write(304, {field("content-length", "0")}).text, "HTTP/1.1 304 Not Modified\r\n\r\n");
  EXPECT_THAT(write(304, {field("content-length", "5")}).text, HasSubstr("content-length: 5\r\n"));
}

TEST(ResponseWriter, AnswersHeadWithTheLengthThatTheAppTells) {
  const ResponseOptions head{.request_method = Method::kHead};
  auto written = write(200, {field("content-length", "5")}, 0, head);
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  EXPECT_EQ(written.head.framing, Framing::kNone);
  EXPECT_TRUE(written.head.keep_alive);
  EXPECT_EQ(write(200, {}, 0, head).text, "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(write(200, {}, -1, head).text, "HTTP/1.1 200 OK\r\n\r\n");
  // HTTP/1.0 and no length: there is no body whose end the close would have to tell.
  written =
      write(200, {}, -1, {.request_method = Method::kHead, .request_version = HttpVersion::k10});
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n");
}

TEST(ResponseWriter, DropsFieldsOfTheConnection) {
  const auto written =
      write(200,
            {field("connection", "x-hop, keep-alive"), field("keep-alive", "timeout=5"),
             field("proxy-connection", "close"), field("transfer-encoding", "chunked"),
             field("upgrade", "h2c"), field("te", "trailers"), field("x-hop", "1"),
             field("trailer", "x-sum"), field("x-stays", "1")},
            0);
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\nx-stays: 1\r\ncontent-length: 0\r\n\r\n");
}

TEST(ResponseWriter, DropsFieldsOfTheConnectionHoweverTheyAreSpelled) {
  for (const auto* name : {"Transfer-Encoding", "CONTENT-LENGTH", "Connection", "content-length"}) {
    const auto written = write(200, {{0, name, "x"}}, 0);
    EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") << name;
  }
}

TEST(ResponseWriter, AnnouncesTrailersOnlyWhereTheyCanFollow) {
  EXPECT_THAT(write(200, {field("trailer", "x-sum")}).text, HasSubstr("trailer: x-sum\r\n"));
  EXPECT_THAT(write(200, {field("trailer", "x-sum")}, 1).text, Not(HasSubstr("trailer")));
}

TEST(ResponseWriter, LetsNoFieldEndTooEarly) {
  using namespace std::string_view_literals;
  for (const auto value :
       {"a\r\nSet-Cookie: x"sv, "a\nb"sv, "a\rb"sv, "a\0b"sv, "\r\n\r\nbody"sv}) {
    EXPECT_EQ(
        write(200, {{0, "x-a", value}, field("location", value), field("server", value)}, 0).text,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  }
  for (const auto name : {"x-a\r\nb"sv, "x a"sv, ""sv, "x:a"sv, "x\0"sv, "x\xe9"sv}) {
    EXPECT_EQ(write(200, {{0, name, "v"}}, 0).text, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  }
  // What is odd but harmless passes.
  EXPECT_THAT(write(200, {field("x-a", "caf\xe9\t\x01")}, 0).text,
              HasSubstr("x-a: caf\xe9\t\x01\r\n"));
}

TEST(ResponseWriter, FallsBackToItsOwnDateIfTheAppsIsDropped) {
  EXPECT_THAT(write(200, {field("date", "a\r\nb")}, 0, {.date = "DATE"}).text,
              HasSubstr("date: DATE\r\n"));
}

TEST(ResponseWriter, FallsBackToItsOwnDateIfTheAppsBelongsToTheConnection) {
  const auto written =
      write(200, {field("connection", "date"), field("date", "D")}, 0, {.date = "DATE"});
  EXPECT_EQ(written.text, "HTTP/1.1 200 OK\r\ndate: DATE\r\ncontent-length: 0\r\n\r\n");
}

TEST(ResponseWriter, KnowsCommonReasonsAndLeavesOthersEmpty) {
  EXPECT_TRUE(write(404, {}, 0).text.starts_with("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(write(799, {}, 0).text.starts_with("HTTP/1.1 799 \r\n"));
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(0), "");
}

TEST(ResponseWriter, KeepsTheAppsReasonUnlessItWouldEndTheLine) {
  const auto status_line = [](std::string_view reason) {
    std::string out;
    write_response_head(out, {200, 0, reason, {}}, {});
    return out.substr(0, out.find("content-length"));
  };
  EXPECT_EQ(status_line("Fine by me"), "HTTP/1.1 200 Fine by me\r\n");
  EXPECT_EQ(status_line("a\r\nSet-Cookie: b"), "HTTP/1.1 200 OK\r\n");
}

TEST(ResponseWriter, WritesInterimHeadsWithoutFraming) {
  std::string out;
  write_continue(out);
  write_interim_head(out, {103,
                           -1,
                           {},
                           {field("link", "</a.css>"), field("content-length", "5"),
                            field("transfer-encoding", "chunked")}});
  EXPECT_EQ(out, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
}

TEST(ResponseWriter, WritesChunks) {
  std::string out;
  write_chunk(out, "hello");
  write_chunk(out, "");
  write_chunk(out, std::string(0x1af, 'x'));
  EXPECT_EQ(out, "5\r\nhello\r\n1af\r\n" + std::string(0x1af, 'x') + "\r\n");
  out.clear();
  write_last_chunk(out);
  EXPECT_EQ(out, "0\r\n\r\n");
  out.clear();
  write_last_chunk(out, {field("x-sum", "1"),
                         field("content-length", "5"),
                         field("x-b", "a\r\nb"),
                         {0, "Transfer-Encoding", "x"},
                         field("host", "h")});
  EXPECT_EQ(out, "0\r\nx-sum: 1\r\n\r\n");
}

TEST(ResponseWriter, WritesAWholeErrorAnswer) {
  std::string out;
  write_error_response(out, 413, "id-1", "retry-after: 5\r\n",
                       {.keep_alive = false, .server = "saola", .date = "DATE"});
  EXPECT_EQ(out,
            "HTTP/1.1 413 Content Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            "retry-after: 5\r\ndate: DATE\r\nserver: saola\r\nx-request-id: id-1\r\n"
            "content-length: 39\r\nconnection: close\r\n\r\n"
            "413 Content Too Large\nrequest id: id-1\n");
}

TEST(ResponseWriter, WritesNoBodyOfAnErrorForHead) {
  std::string out;
  write_error_response(out, 503, "", "", {.request_method = Method::kHead});
  EXPECT_EQ(out,
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
            "content-length: 24\r\n\r\n");
}

TEST(ResponseWriter, KeepsAnHttp10ConnectionOpenAfterAnError) {
  std::string out;
  write_error_response(out, 404, "", "", {.request_version = HttpVersion::k10});
  EXPECT_THAT(out, HasSubstr("connection: keep-alive\r\n"));
}

TEST(ResponseWriter, ListsMethodsWithA405) {
  std::string out;
  write_error_response(out, 405, "", "", {});
  EXPECT_THAT(out, HasSubstr("\r\nallow: GET, HEAD,"));
  out.clear();
  write_error_response(out, 405, "", "Allow: GET\r\n", {});
  EXPECT_THAT(out, Not(HasSubstr("allow: GET, HEAD,")));
}

TEST(HttpDate, FollowsRfc9110) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(http_date(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(http_date(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
  EXPECT_EQ(http_date(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(http_date(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
}

TEST(HttpDate, AgreesWithTheSystemsCalendar) {
  for (std::time_t time = 0; time < 5'000'000'000; time += 12'345'678) {
    std::tm parts{};
    char text[64];
    gmtime_r(&time, &parts);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    EXPECT_EQ(http_date(time), text);
  }
}

}  // namespace
}  // namespace saola::proxy::http1

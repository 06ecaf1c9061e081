// REQUEST, RESPONSE_HEAD and TRAILERS payloads, and the names that travel as numbers.
#include "common/ipc/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace saola::ipc {

bool operator==(const Field& a, const Field& b) {
  return a.name_id == b.name_id && a.name == b.name && a.value == b.value;
}

namespace {

const std::vector<Field> kFields = {{field::kHost, "host", "a.example"},
                                    {0, "x-custom", ""},
                                    {field::kCookie, "cookie", "a=1; b=\xff"},
                                    {field::kSetCookie, "set-cookie", std::string_view("\0x", 2)}};

RequestMeta some_meta() {
  RequestMeta meta;
  meta.method = Method::kOther;
  meta.version = HttpVersion::k10;
  meta.scheme = Scheme::kHttps;
  meta.client_port = 65535;
  meta.server_port = 8443;
  meta.body_length = -1;
  meta.method_text = "BREW";
  meta.authority = "a.example:8443";
  meta.path = "/caf\xc3\xa9";
  meta.raw_path = "/caf%C3%A9";
  meta.query = "a=1";
  meta.client_host = "2001:db8::1";
  meta.server_host = "192.0.2.1";
  meta.request_id = "id";
  meta.root_path = "/root";
  return meta;
}

std::string encoded_request() {
  std::string bytes;
  encode_request(bytes, some_meta(), kFields);
  return bytes;
}

TEST(Messages, GiveARequestBack) {
  const auto bytes = encoded_request();
  RequestView view;
  ASSERT_TRUE(decode_request(bytes, view));
  EXPECT_EQ(view.meta.method, Method::kOther);
  EXPECT_EQ(view.meta.version, HttpVersion::k10);
  EXPECT_EQ(view.meta.scheme, Scheme::kHttps);
  EXPECT_EQ(view.meta.client_port, 65535);
  EXPECT_EQ(view.meta.server_port, 8443);
  EXPECT_EQ(view.meta.body_length, -1);
  EXPECT_EQ(view.meta.method_text, "BREW");
  EXPECT_EQ(view.meta.authority, "a.example:8443");
  EXPECT_EQ(view.meta.path, "/caf\xc3\xa9");
  EXPECT_EQ(view.meta.raw_path, "/caf%C3%A9");
  EXPECT_EQ(view.meta.query, "a=1");
  EXPECT_EQ(view.meta.client_host, "2001:db8::1");
  EXPECT_EQ(view.meta.server_host, "192.0.2.1");
  EXPECT_EQ(view.meta.request_id, "id");
  EXPECT_EQ(view.meta.root_path, "/root");
  EXPECT_EQ(view.fields, kFields);
}

TEST(Messages, GiveAResponseHeadBack) {
  std::string bytes;
  ResponseHeadEncoder encoder(bytes, 503, 12, "Not now");
  for (const auto& f : kFields) encoder.add(f.name_id, f.name, f.value);
  ResponseHeadView view;
  ASSERT_TRUE(decode_response_head(bytes, view));
  EXPECT_EQ(view.status, 503);
  EXPECT_EQ(view.content_length, 12);
  EXPECT_EQ(view.reason, "Not now");
  EXPECT_EQ(view.fields, kFields);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_response_head(std::string_view(bytes).substr(0, size), view)) << size;
  }
  EXPECT_FALSE(decode_response_head(bytes + "x", view));
}

TEST(Messages, GiveTrailersBack) {
  std::string bytes;
  encode_trailers(bytes, kFields);
  std::vector<Field> fields = {{0, "old", "old"}};
  ASSERT_TRUE(decode_trailers(bytes, fields));
  EXPECT_EQ(fields, kFields);
  bytes.pop_back();
  EXPECT_FALSE(decode_trailers(bytes, fields));
}

TEST(Messages, RefuseARequestCutAnywhereOrWithMoreBehind) {
  const auto bytes = encoded_request();
  RequestView view;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_request(std::string_view(bytes).substr(0, size), view)) << size;
  }
  EXPECT_FALSE(decode_request(bytes + '\0', view));
}

TEST(Messages, RefuseValuesThatCannotBe) {
  RequestView view;
  const auto with = [](std::size_t at, char value) {
    auto bytes = encoded_request();
    bytes[at] = value;
    return bytes;
  };
  EXPECT_TRUE(decode_request(with(0, 9), view));
  EXPECT_FALSE(decode_request(with(0, 10), view));      // method
  EXPECT_FALSE(decode_request(with(1, 12), view));      // version
  EXPECT_FALSE(decode_request(with(2, 2), view));       // scheme
  EXPECT_FALSE(decode_request(with(8, '\xfe'), view));  // body length -2

  ResponseHeadView head;
  for (const int status : {0, 99, 1000, 65535}) {
    std::string bytes;
    ResponseHeadEncoder(bytes, static_cast<std::uint16_t>(status), 0);
    EXPECT_FALSE(decode_response_head(bytes, head)) << status;
  }
  std::string bytes;
  ResponseHeadEncoder(bytes, 200, -2);
  EXPECT_FALSE(decode_response_head(bytes, head));
}

TEST(Messages, RefuseFieldsWithoutAName) {
  std::vector<Field> fields;
  EXPECT_FALSE(decode_trailers(std::string_view("\1\0\0\0\0\0\0", 7), fields));  // empty name
  EXPECT_FALSE(decode_trailers(std::string_view("\1\0\xfa\0\0", 5), fields));    // no such id
  EXPECT_TRUE(decode_trailers(std::string_view("\1\0\0\1\0x\0\0", 8), fields));
}

TEST(HeaderNames, FindEveryNameInAnyCaseAndNoOther) {
  std::set<std::string> all;
  for (std::size_t id = 1; id < header_names().size(); ++id) {
    const std::string name(header_names()[id]);
    EXPECT_TRUE(all.insert(name).second) << name << " is there twice";
    EXPECT_EQ(header_name_id(name), id);
    EXPECT_EQ(header_name_id_any_case(name), id);
    EXPECT_EQ(header_name(static_cast<std::uint8_t>(id)), name);
    std::string upper = name;
    for (auto& c : upper) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(header_name_id_any_case(upper), id) << upper;
    EXPECT_EQ(header_name_id(upper), 0) << upper;
    EXPECT_EQ(header_name_id_any_case(name + "x"), 0);
    EXPECT_EQ(header_name_id_any_case(name.substr(0, name.size() - 1)) == id, false);
    // No other byte passes for one of the name's.
    for (std::size_t at = 0; at < name.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = name;
        other[at] = static_cast<char>(byte);
        const bool same = std::tolower(byte) == name[at] && byte < 128;
        EXPECT_EQ(header_name_id_any_case(other) == id, same) << name << " " << at << " " << byte;
      }
    }
  }
  EXPECT_EQ(header_name_id(""), 0);
  EXPECT_EQ(header_name_id_any_case(""), 0);
  EXPECT_EQ(header_name_id("x-unknown"), 0);
  EXPECT_EQ(header_name(0), "");
  EXPECT_EQ(header_name(255), "");
}

TEST(HeaderNames, FindMethodsByTheirExactNames) {
  for (std::size_t i = 1; i < kMethodCount; ++i) {
    const auto method = static_cast<Method>(i);
    EXPECT_EQ(method_id(method_name(method)), method);
  }
  EXPECT_EQ(method_name(Method::kOther), "");
  for (const auto* name : {"", "get", "GETS", "GE", "BREW"}) {
    EXPECT_EQ(method_id(name), Method::kOther) << name;
  }
  EXPECT_TRUE(is_idempotent(Method::kDelete));
  EXPECT_FALSE(is_idempotent(Method::kPost));
  EXPECT_FALSE(is_idempotent(Method::kPatch));
  EXPECT_FALSE(is_idempotent(Method::kOther));
}

}  // namespace
}  // namespace saola::ipc

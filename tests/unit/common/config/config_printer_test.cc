#include "common/config/config_printer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/common/config/load.h"

namespace saola::config {
namespace {

using testing::HasSubstr;
using testing::Not;

// Every key that a file can have, none of them with its default.
constexpr const char* kUnusual = R"toml(
[server]
user = "saola"
group = "saola"
runtime_dir = "/run/saola"
pid_file = "saola.pid"
spool_dir = "spool"
graceful_timeout = "1s1ms"
server_header = ""
umask = "0077"
[[listen]]
address = "[::1]:8443"
protocols = ["http/1.1", "h2"]
forwarded = "rfc7239"
trusted = ["10.0.0.0/8", "unix", "*"]
backlog = 17
mode = "0600"
ipv6_only = false
[listen.tls]
certificate = "cert \"1\".pem"
key = "key\\1.pem"
key_password_file = "password.txt"
min_version = "1.3"
ciphers = "HIGH"
ciphersuites = "TLS_AES_128_GCM_SHA256"
groups = "X25519"
unknown_host = "misdirected"
session_timeout = "7d"
session_tickets = false
[[listen.certificates]]
certificate = "b.pem"
key = "b.key"
[[listen.certificates]]
certificate = "c.pem"
key = "c.key"
key_password_file = "c.txt"
[[listen]]
address = "unix:a.sock"
redirect_https = true
redirect_port = 8443
[apps.web]
target = "app:make()"
directory = "src"
venv = ".venv"
pythonpath = ["lib", "b,c"]
interface = "wsgi"
factory = true
root_path = "/web"
workers = 3
threads = 5
concurrency = 7
prefetch = 0
loop = "asyncio"
lifespan = "off"
boot_timeout = "5m"
queue_limit = 0
queue_timeout = "250ms"
process_name = "web"
max_requests = 1000
max_requests_jitter = 50
env = { A = "1", "b.c d" = "quote \" backslash \\ newline \n tab \t bell \u0007 \u00e9 \u009b" }
[apps.app]
target = "b:app"
[[route]]
host = "*.example.com"
path = "/old/"
redirect = "https://{host}{uri}"
redirect_status = 302
[[route]]
path = "/"
app = "web"
max_body = "off"
strip_prefix = true
[[route]]
app = "app"
max_body = 12345
access_log = false
[limits]
request_line = 4094
header_count = 50
header_field = 1000
header_bytes = "32KiB"
body = "off"
body_buffer = 1
response_buffer = "2MiB"
response_spool = "off"
spool_total = 0
connections = 10000
keepalive_requests = 0
body_min_rate = "1KB"
handshake_timeout = "1s"
header_timeout = "2s"
body_timeout = "3s"
body_total_timeout = "4m"
keepalive_timeout = "5s"
write_timeout = "6s"
linger_timeout = "7s"
retries = 0
[log]
level = "critical"
error = "error.log"
access = "-"
access_format = "%(h)s \"%(r)s\" %({user-agent}i)s"
error_format = "json"
access_sample = "0.25%"
redact = ["query", "cookies"]
syslog = "tcp:[::1]:601"
syslog_logs = ["access"]
syslog_facility = "local7"
syslog_tag = "a-{log}"
journald = "/run/systemd/journal/socket"
journald_logs = []
[admin]
listen = "unix:admin.sock"
)toml";

TEST(PrintConfig, IsReadBackToTheSameConfiguration) {
  const std::vector<std::string> texts{kApp, kApp + "[[route]]\n[app.env]\nA = \"\"\n",
                                       "[apps.web]\ntarget = \"a:b\"\n"};
  for (const std::string& text : texts) {
    const Config config = loaded(text);
    EXPECT_EQ(loaded(print_config(config, true)), config) << text;
  }
  const Config config = loaded(kUnusual);
  const std::string printed = print_config(config, true);
  EXPECT_EQ(loaded(printed), config) << printed;
  EXPECT_EQ(print_config(loaded(printed), true), printed);
}

TEST(PrintConfig, HidesTheEnvironmentOfTheWorkersUnlessAsked) {
  const Config config = loaded(kApp + "[app.env]\nSECRET_KEY = \"geheim\"\nEMPTY = \"\"\n");
  const std::string printed = print_config(config, false);
  EXPECT_THAT(printed, HasSubstr("SECRET_KEY = \"***\"\n"));
  EXPECT_THAT(printed, HasSubstr("EMPTY = \"***\"\n"));
  EXPECT_THAT(printed, Not(HasSubstr("geheim")));
  EXPECT_THAT(print_config(config, true), HasSubstr("SECRET_KEY = \"geheim\"\n"));
}

TEST(PrintConfig, ShowsDefaultsWithTheirMeaning) {
  const std::string printed = print_config(loaded(kApp), false);
  EXPECT_THAT(printed, HasSubstr("[app]\n"));
  EXPECT_THAT(printed, HasSubstr("\nworkers = \"auto\"\n"));
  EXPECT_THAT(printed,
              HasSubstr("# header fields; 431 (a number from 1 to 10000)\nheader_count = 100\n"));
  EXPECT_THAT(printed, HasSubstr("\nbody_total_timeout = \"off\"\n"));
  EXPECT_THAT(printed, Not(HasSubstr("[listen.tls]")));
  EXPECT_THAT(printed, Not(HasSubstr("client_ca")));
}

TEST(PrintConfig, SendsNoControlBytesToATerminal) {
  Config config = loaded(kApp);
  config.apps.at("app").process_name =
      "a\x1b[31m\xc2\x9b"
      "31m";
  const std::string printed = print_config(config, false);
  EXPECT_THAT(printed, HasSubstr(R"(process_name = "a\u001B[31m\u009B31m")"));
}

}  // namespace
}  // namespace saola::config

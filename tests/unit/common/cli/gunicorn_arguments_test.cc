#include "common/cli/gunicorn_arguments.h"

#include <gmock/gmock.h>

#include <set>

namespace saola::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Words = std::vector<std::string>;
using Values = std::map<std::string, Words>;

Values values_of(const Arguments& arguments) {
  Values values;
  for (const auto& [name, given] : arguments.settings) values[std::string(name)] = given.values;
  return values;
}

struct ArgumentCase {
  Words words;
  Values settings;
  Words positional;
};

void expect_read(const std::vector<ArgumentCase>& cases) {
  for (const ArgumentCase& one : cases) {
    SCOPED_TRACE(testing::PrintToString(one.words));
    const auto arguments = parse_gunicorn_arguments(one.words);
    ASSERT_TRUE(arguments) << arguments.error().message;
    EXPECT_EQ(values_of(*arguments), one.settings);
    EXPECT_EQ(arguments->positional, one.positional);
  }
}

std::string error_of(const Words& words, std::string_view source = {}) {
  const auto arguments = parse_gunicorn_arguments(words, source);
  return arguments ? "none" : arguments.error().message;
}

TEST(GunicornArguments, TakeValuesInEverySpelling) {
  expect_read({
      {{"-w", "3"}, {{"workers", {"3"}}}, {}},
      {{"-w3"}, {{"workers", {"3"}}}, {}},
      {{"-w=3"}, {{"workers", {"3"}}}, {}},
      {{"--workers", "3"}, {{"workers", {"3"}}}, {}},
      {{"--workers=3"}, {{"workers", {"3"}}}, {}},
      {{"-b:80"}, {{"bind", {":80"}}}, {}},
      {{"--chdir="}, {{"chdir", {""}}}, {}},
      {{"--env=A=1=2"}, {{"raw_env", {"A=1=2"}}}, {}},
      {{"--log-file", "-"}, {{"errorlog", {"-"}}}, {}},
      {{"--error-logfile=-"}, {{"errorlog", {"-"}}}, {}},
      {{"--limit-request-field_size", "1"}, {{"limit_request_field_size", {"1"}}}, {}},
      {{"--access-logformat", "%(h)s -x"}, {{"access_log_format", {"%(h)s -x"}}}, {}},
      {{"--no-sendfile"}, {{"sendfile", {}}}, {}},
  });
}

TEST(GunicornArguments, RepeatedFlagsAddUpOnlyWhereGunicornAddsThem) {
  expect_read({
      {{"-b", "a:1", "--bind=b:2", "-bc:3"}, {{"bind", {"a:1", "b:2", "c:3"}}}, {}},
      {{"-eA=1", "-e", "B=2"}, {{"raw_env", {"A=1", "B=2"}}}, {}},
      {{"--reload-extra-file", "a", "--reload-extra-file", "b"},
       {{"reload_extra_files", {"a", "b"}}},
       {}},
      {{"-w", "3", "-w", "4"}, {{"workers", {"4"}}}, {}},
  });
}

TEST(GunicornArguments, ShortSwitchesMayShareAWord) {
  expect_read({
      {{"-DR"}, {{"daemon", {}}, {"enable_stdio_inheritance", {}}}, {}},
      {{"-DRw3"}, {{"daemon", {}}, {"enable_stdio_inheritance", {}}, {"workers", {"3"}}}, {}},
      {{"-Rw", "3"}, {{"enable_stdio_inheritance", {}}, {"workers", {"3"}}}, {}},
  });
  EXPECT_THAT(error_of({"-DX"}), HasSubstr("argument -D/--daemon: takes no value, but got 'X'"));
  EXPECT_THAT(error_of({"--daemon=yes"}), HasSubstr("takes no value, but got 'yes'"));
  EXPECT_THAT(error_of({"--daemon="}), HasSubstr("takes no value"));
  EXPECT_THAT(error_of({"-D="}), HasSubstr("takes no value"));
}

TEST(GunicornArguments, UniquePrefixesStandForTheWholeFlag) {
  expect_read({
      {{"--access-logform", "x"}, {{"access_log_format", {"x"}}}, {}},
      {{"--access-logform=x"}, {{"access_log_format", {"x"}}}, {}},
      {{"--worker-con", "5"}, {{"worker_connections", {"5"}}}, {}},
      {{"--time", "5"}, {{"timeout", {"5"}}}, {}},
      {{"--prel"}, {{"preload_app", {}}}, {}},
      {{"--limit-request-field_", "9"}, {{"limit_request_field_size", {"9"}}}, {}},
      // An exact flag is not ambiguous although it is a prefix of others.
      {{"--reload"}, {{"reload", {}}}, {}},
      {{"--log-config", "x"}, {{"logconfig", {"x"}}}, {}},
      {{"--max-requests", "5"}, {{"max_requests", {"5"}}}, {}},
  });
  EXPECT_EQ(error_of({"--worker", "3"}),
            "ambiguous option: '--worker' could match --workers, --worker-class, "
            "--worker-connections, --worker-tmp-dir");
  EXPECT_EQ(error_of({"--limit-request-field=3"}),
            "ambiguous option: '--limit-request-field' could match --limit-request-fields, "
            "--limit-request-field_size");
  // Also where a value would stand.
  EXPECT_THAT(error_of({"--chdir", "--log"}), HasSubstr("ambiguous option: '--log'"));
}

TEST(GunicornArguments, TheApplicationMayStandAnywhere) {
  const Values three{{"workers", {"3"}}};
  expect_read({
      {{"app:app"}, {}, {"app:app"}},
      {{"app:app", "-w", "3"}, three, {"app:app"}},
      {{"-w", "3", "app:app"}, three, {"app:app"}},
      {{"-w", "3", "--", "app:app"}, three, {"app:app"}},
      {{"-w", "3", "app:app", "--"}, three, {"app:app"}},
      {{"--", "-w", "3"}, {}, {"-w", "3"}},
      {{"--", "--", "x"}, {}, {"--", "x"}},
      {{"app:app", "extra"}, {}, {"app:app", "extra"}},
      {{"app:make('a b', -1)"}, {}, {"app:make('a b', -1)"}},
      {{"-"}, {}, {"-"}},
      {{""}, {}, {""}},
  });
  EXPECT_EQ(error_of({"app:app", "-w", "3", "extra"}), "unrecognized arguments: 'extra'");
}

TEST(GunicornArguments, WordsThatLookLikeValuesAreValues) {
  expect_read({
      {{"-e", "-A b=1"}, {{"raw_env", {"-A b=1"}}}, {}},
      {{"--proxy-protocol"}, {{"proxy_protocol", {}}}, {}},
      {{"--proxy-protocol", "v2"}, {{"proxy_protocol", {"v2"}}}, {}},
      {{"--proxy-protocol", "-w", "3"}, {{"proxy_protocol", {}}, {"workers", {"3"}}}, {}},
      // As in gunicorn: the optional value takes the application's name.
      {{"--proxy-protocol", "app:app"}, {{"proxy_protocol", {"app:app"}}}, {}},
  });
  EXPECT_EQ(error_of({"-w", "-1"}), "argument -w/--workers: must not be negative: -1");
  EXPECT_EQ(error_of({"-w", "--preload"}), "argument -w/--workers: expected one argument");
  EXPECT_EQ(error_of({"-w", "--", "3"}), "argument -w/--workers: expected one argument");
  EXPECT_EQ(error_of({"-w"}), "argument -w/--workers: expected one argument");
  EXPECT_EQ(error_of({"-e", "-A"}), "argument -e/--env: expected one argument");
}

TEST(GunicornArguments, NumbersMustBeNumbers) {
  EXPECT_EQ(error_of({"-w", "three"}), "argument -w/--workers: invalid int value: 'three'");
  EXPECT_EQ(error_of({"--threads=1.5"}), "argument --threads: invalid int value: '1.5'");
  EXPECT_EQ(error_of({"-m", "09"}), "argument -m/--umask: invalid int value: '09'");
  EXPECT_EQ(error_of({"-w", ""}), "argument -w/--workers: invalid int value: ''");
  expect_read(
      {{{"-m", "022"}, {{"umask", {"022"}}}, {}}, {{"-w", " 3 "}, {{"workers", {" 3 "}}}, {}}});
}

TEST(GunicornArguments, UnknownFlagsAreNamedAllAtOnceWithASuggestion) {
  EXPECT_EQ(error_of({"--worker-clas=x", "app:app"}), "none");  // a unique prefix
  EXPECT_EQ(error_of({"--wrokers", "3"}),
            "unrecognized arguments: '--wrokers'; did you mean --workers?");
  EXPECT_EQ(error_of({"--certfil", "x", "--certfiel=y", "-x"}),
            "unrecognized arguments: '--certfiel=y' '-x'; did you mean --certfile?");
  EXPECT_EQ(error_of({"-x"}), "unrecognized arguments: '-x'");
}

TEST(GunicornArguments, MessagesNameTheVariableTheyAreAbout) {
  EXPECT_EQ(error_of({"-w", "x"}, "GUNICORN_CMD_ARGS"),
            "GUNICORN_CMD_ARGS: argument -w/--workers: invalid int value: 'x'");
  const auto arguments = parse_gunicorn_arguments({"-w", "3"}, "GUNICORN_CMD_ARGS");
  ASSERT_TRUE(arguments);
  EXPECT_EQ(arguments->settings.at("workers").where, "GUNICORN_CMD_ARGS: --workers");
}

TEST(GunicornArguments, TextMustBeUtf8) {
  EXPECT_EQ(error_of({"--chdir", "\xff"}), "argument --chdir: not valid UTF-8");
}

TEST(GunicornArguments, HelpAndVersionEndTheReading) {
  EXPECT_TRUE(parse_gunicorn_arguments({"app:app", "-h", "--wrokers"})->help);
  EXPECT_TRUE(parse_gunicorn_arguments({"--version", "-w", "x"})->version);
  EXPECT_TRUE(parse_gunicorn_arguments({"-Rv"})->version);
  EXPECT_EQ(error_of({"--he"}), "ambiguous option: '--he' could match --help, --header-map");
}

TEST(GunicornSettings, HasEverySettingOnceAndEveryFlagOnce) {
  std::set<std::string_view> names;
  std::set<std::string_view> flags;
  for (const Setting& setting : gunicorn_settings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_FALSE(setting.says.empty()) << setting.name;
    EXPECT_EQ(setting.flags.empty(), setting.argument == Argument::kFileOnly) << setting.name;
    EXPECT_EQ(setting.flags.empty(), setting.support == Support::kFileOnly) << setting.name;
    for (const std::string_view flag : flags_of(setting)) {
      EXPECT_TRUE(flags.insert(flag).second) << flag;
    }
  }
  EXPECT_EQ(names.size(), 120U);  // 119, and websocket_max_message_size since gunicorn 27
  EXPECT_THAT(flags_of(gunicorn_setting("errorlog")), ElementsAre("--error-logfile", "--log-file"));
  EXPECT_THAT(flags_of(gunicorn_setting("wsgi_app")), IsEmpty());
  EXPECT_EQ(long_flag(gunicorn_setting("bind")), "--bind");
}

}  // namespace
}  // namespace saola::cli

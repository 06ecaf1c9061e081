#include "common/cli/dropin_command.h"

#include <gmock/gmock.h>

#include <sstream>

namespace saola::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Runs the command line with sides that only note what they were asked.
struct CommandRun {
  explicit CommandRun(std::vector<std::string> arguments) {
    Actions actions;
    actions.serve = [this](const config::Config& config, const LoadAgain&,
                           const Background& where) {
      served.push_back(config);
      ran = where;
      return 0;
    };
    actions.import_app = [this](const config::Config& config) {
      imported.push_back(config);
      return import_result;
    };
    actions.check_certificates = [this](const config::Config&) { return bad_certificates; };
    actions.check_access_format = [](std::string_view) { return Result<void>(); };
    const Invocation invocation{std::move(arguments), {}, "/", &out_, &err_};
    run = [this, actions, invocation] { return run_dropin(invocation, actions); };
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  std::function<int()> run;
  std::vector<config::Config> served;
  Background ran;
  std::vector<config::Config> imported;
  std::vector<std::string> bad_certificates;
  int import_result = kExitOk;

 private:
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST(DropinCommand, Serves) {
  CommandRun run({"app:application", "-w", "3"});
  EXPECT_EQ(run.run(), kExitOk);
  ASSERT_EQ(run.served.size(), 1U);
  EXPECT_EQ(run.served[0].apps.at("app").workers, 3);
  EXPECT_EQ(run.err(), "");
}

TEST(DropinCommand, ServesInTheBackground) {
  CommandRun run({"app:application", "-D"});
  EXPECT_EQ(run.run(), kExitOk);
  EXPECT_TRUE(run.ran.daemon);
  EXPECT_THAT(run.err(), HasSubstr("--daemon: the error log is standard error"));
  CommandRun with_log({"app:application", "-D", "--error-logfile", "error.log"});
  EXPECT_EQ(with_log.run(), kExitOk);
  EXPECT_EQ(with_log.err(), "");
}

TEST(DropinCommand, WarnsAndServes) {
  CommandRun run({"app:application", "--reload"});
  EXPECT_EQ(run.run(), kExitOk);
  EXPECT_EQ(run.served.size(), 1U);
  EXPECT_THAT(run.err(), StartsWith("saola: warning: --reload: no effect: "));
}

TEST(DropinCommand, RefusesWhatItCannotDo) {
  CommandRun run({"app:application", "--cert-reqs", "2"});
  EXPECT_EQ(run.run(), kExitUsage);
  EXPECT_TRUE(run.served.empty());
  EXPECT_THAT(run.err(), StartsWith("saola: error: --cert-reqs: "));
}

TEST(DropinCommand, RefusesValuesThatDoNotFit) {
  CommandRun run({"app:application", "-b", "nowhere"});
  CommandRun bad({"app:application", "-b", "a:b:c"});
  EXPECT_EQ(run.run(), kExitOk);
  EXPECT_EQ(bad.run(), kExitConfiguration);
  EXPECT_TRUE(bad.served.empty());
}

TEST(DropinCommand, CheckConfigImportsTheApplicationAndServesNothing) {
  CommandRun fine({"app:application", "--check-config"});
  EXPECT_EQ(fine.run(), 0);
  EXPECT_EQ(fine.imported.size(), 1U);
  EXPECT_TRUE(fine.served.empty());

  CommandRun broken({"app:application", "--check-config"});
  broken.import_result = kExitApplication;
  EXPECT_EQ(broken.run(), 1);

  CommandRun unreadable({"app:application", "--check-config", "--certfile", "/missing/cert.pem"});
  unreadable.bad_certificates = {"/missing/cert.pem: No such file or directory"};
  EXPECT_EQ(unreadable.run(), 1);
  EXPECT_EQ(unreadable.err(), "saola: error: /missing/cert.pem: No such file or directory\n");
  EXPECT_TRUE(unreadable.imported.empty());
}

TEST(DropinCommand, PrintConfigShowsTomlWithoutSecrets) {
  CommandRun run({"app:application", "--print-config", "-w", "3", "-e", "TOKEN=hidden-value"});
  EXPECT_EQ(run.run(), 0);
  EXPECT_TRUE(run.served.empty());
  EXPECT_THAT(run.out(), StartsWith("# Paths are relative to \"/\".\n"));
  EXPECT_THAT(run.out(), HasSubstr("workers = 3"));
  EXPECT_THAT(run.out(), testing::Not(HasSubstr("hidden-value")));
}

TEST(DropinCommand, HelpListsEveryFlag) {
  CommandRun run({"app:application", "--help"});
  EXPECT_EQ(run.run(), 0);
  EXPECT_THAT(run.out(), HasSubstr("--limit-request-field_size"));
  EXPECT_TRUE(run.served.empty());
}

}  // namespace
}  // namespace saola::cli

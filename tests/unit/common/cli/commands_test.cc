#include "common/cli/commands.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace saola::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A directory with a configuration, and sides that only note what they were asked.
class CommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "saola-cli-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    actions_.serve = [this](const config::Config& config, const LoadAgain&,
                            const Background& where) {
      served_.push_back(config);
      where_ = where;
      return 0;
    };
    actions_.import_app = [this](const config::Config& config) {
      imported_.push_back(config);
      return import_result_;
    };
    actions_.check_certificates = [this](const config::Config&) { return bad_certificates_; };
    actions_.check_access_format = [](std::string_view format) {
      return format == "bad" ? Result<void>(fail("no atom %(zz)s")) : Result<void>();
    };
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  int run(std::vector<std::string> arguments, config::EnvironmentView environment = {}) {
    out_.str("");
    err_.str("");
    return run_command_line(
        {std::move(arguments), std::move(environment), directory_, &out_, &err_}, actions_);
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  std::string directory_;
  Actions actions_;
  std::vector<config::Config> served_;
  Background where_;
  std::vector<config::Config> imported_;
  std::vector<std::string> bad_certificates_;
  int import_result_ = kExitOk;

 private:
  std::ostringstream out_;
  std::ostringstream err_;
};

constexpr char kPlain[] = "[app]\ntarget = \"app:application\"\nworkers = 2\n";
constexpr char kTls[] =
    "[[listen]]\naddress = \":8443\"\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n"
    "[app]\ntarget = \"app:application\"\n";

TEST_F(CommandsTest, ServesTheFileThatIsNamed) {
  const std::string path = write("a.toml", kPlain);
  EXPECT_EQ(run({"serve", "-c", path}), kExitOk) << err();
  EXPECT_EQ(run({"serve", "--config=" + path}), kExitOk);
  EXPECT_EQ(run({"serve"}, {{"SAOLA_CONFIG", path}}), kExitOk) << err();
  ASSERT_EQ(served_.size(), 3U);
  EXPECT_EQ(served_[0].apps.at("app").workers, 2);
}

TEST_F(CommandsTest, ServesInTheBackgroundIfAsked) {
  const std::string path = write("a.toml", kPlain);
  EXPECT_EQ(run({"serve", "-c", path}), kExitOk);
  EXPECT_FALSE(where_.daemon);
  EXPECT_EQ(run({"serve", "-c", path, "--daemon"}), kExitOk);
  EXPECT_TRUE(where_.daemon);
  EXPECT_THAT(err(), HasSubstr("the error log is standard error"));
  EXPECT_EQ(run({"serve", "-D", "-c", path, "--set", "log.error=\"error.log\""}), kExitOk) << err();
  EXPECT_TRUE(where_.daemon);
  EXPECT_EQ(err(), "");
  EXPECT_EQ(run({"check", "-c", path, "--daemon"}), kExitUsage);
}

TEST_F(CommandsTest, OverridesWinOverTheEnvironmentAndTheFile) {
  const std::string path = write("a.toml", kPlain);
  EXPECT_EQ(run({"serve", "-c", path, "--set", "app.workers=7", "--set", "limits.body=1MiB"},
                {{"SAOLA_APP_WORKERS", "5"}, {"SAOLA_APP_THREADS", "3"}}),
            kExitOk)
      << err();
  ASSERT_EQ(served_.size(), 1U);
  EXPECT_EQ(served_[0].apps.at("app").workers, 7);
  EXPECT_EQ(served_[0].apps.at("app").threads, 3);
  EXPECT_EQ(served_[0].limits.body, 1U << 20);
  EXPECT_EQ(run({"serve", "-c", path, "--workers", "9"}), kExitOk);
  EXPECT_EQ(served_.back().apps.at("app").workers, 9);
}

TEST_F(CommandsTest, BadOverridesAreConfigurationErrors) {
  const std::string path = write("a.toml", kPlain);
  EXPECT_EQ(run({"serve", "-c", path, "--set", "app.wokers=7"}), kExitConfiguration);
  EXPECT_THAT(err(), HasSubstr("--set app.wokers"));
  EXPECT_EQ(run({"serve", "-c", path, "--set", "workers"}), kExitConfiguration);
  EXPECT_THAT(err(), HasSubstr("'workers' is not KEY=VALUE"));
  EXPECT_EQ(run({"serve", "-c", path, "--workers", "many"}), kExitConfiguration);
  EXPECT_TRUE(served_.empty());
}

TEST_F(CommandsTest, ConfigurationErrorsAreOnePerLine) {
  const std::string path =
      write("a.toml", "[app]\ntarget = \"a:b\"\nworker = 3\nthreads = \"x\"\n");
  EXPECT_EQ(run({"serve", "-c", path}), kExitConfiguration);
  EXPECT_THAT(err(), HasSubstr("a.toml:3:"));
  EXPECT_THAT(err(), HasSubstr("a.toml:4:"));
  EXPECT_THAT(err(), HasSubstr("did you mean 'workers'?"));
  const std::string text = err();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_EQ(run({"check", "-c", directory_ + "/missing.toml"}), kExitConfiguration);
  EXPECT_THAT(err(), HasSubstr("missing.toml"));
}

TEST_F(CommandsTest, CheckSaysOk) {
  const std::string path = write("a.toml", kPlain);
  EXPECT_EQ(run({"check", "-c", path}), kExitOk) << err();
  EXPECT_EQ(out(), path + ": ok\n");
  EXPECT_TRUE(imported_.empty());
}

TEST_F(CommandsTest, CheckSaysWhatIsWrongWithCertificates) {
  const std::string path = write("a.toml", kTls);
  bad_certificates_ = {"cert.pem: expired", "key.pem: No such file or directory"};
  EXPECT_EQ(run({"check", "-c", path}), kExitConfiguration);
  EXPECT_EQ(err(), "cert.pem: expired\nkey.pem: No such file or directory\n");
  EXPECT_EQ(out(), "");
}

TEST_F(CommandsTest, CheckLooksAtTheAccessLogFormat) {
  const std::string path =
      write("a.toml", std::string(kPlain) + "[log]\naccess = \"-\"\naccess_format = \"bad\"\n");
  EXPECT_EQ(run({"check", "-c", path}), kExitConfiguration);
  EXPECT_THAT(err(), HasSubstr("log.access_format: no atom %(zz)s"));
}

TEST_F(CommandsTest, CheckImportsTheAppIfAsked) {
  const std::string path = write("a.toml", kPlain);
  EXPECT_EQ(run({"check", "--import", "-c", path}), kExitOk);
  ASSERT_EQ(imported_.size(), 1U);
  EXPECT_EQ(imported_[0].directory, directory_);
  import_result_ = kExitApplication;
  EXPECT_EQ(run({"check", "--import", "-c", path}), kExitApplication);
  EXPECT_THAT(out(), IsEmpty());
}

TEST_F(CommandsTest, ConfigPrintsTheEffectiveConfigurationWithoutSecrets) {
  const std::string path = write("a.toml", std::string(kPlain) + "[app.env]\nTOKEN = \"hidden\"\n");
  EXPECT_EQ(run({"config", "-c", path}, {{"SAOLA_APP_THREADS", "3"}}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("threads = 3"));
  EXPECT_THAT(out(), testing::Not(HasSubstr("hidden")));
}

TEST_F(CommandsTest, BadCommandLinesExitWithTwo) {
  EXPECT_EQ(run({}), kExitUsage);
  EXPECT_EQ(run({"serve", "--nonsense"}), kExitUsage);
  EXPECT_THAT(err(), StartsWith("saola serve: "));
  EXPECT_EQ(run({"serve", "extra"}), kExitUsage);
  EXPECT_EQ(run({"serve", "-c"}), kExitUsage);
  EXPECT_EQ(run({"serv"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("did you mean 'serve'?"));
}

TEST_F(CommandsTest, CommandsForARunningServerSayWhenThereIsNone) {
  const std::string socket = directory_ + "/none.sock";
  for (const std::string name :
       {"status", "top", "stacks", "reload", "stop", "drain", "reopen", "upgrade"}) {
    EXPECT_EQ(run({name, "--socket", socket}), kExitFailed);
    EXPECT_EQ(err(), "saola " + name + ": there is no server: " + socket + " does not exist\n");
  }
  EXPECT_EQ(run({"relaod"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("did you mean 'reload'?"));
}

TEST_F(CommandsTest, HelpAndVersionAreAnswers) {
  EXPECT_EQ(run({"help"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("saola serve"));
  EXPECT_EQ(run({"--help"}), kExitOk);
  EXPECT_EQ(run({"serve", "--help"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("--set"));
  EXPECT_EQ(run({"version"}), kExitOk);
  EXPECT_EQ(out(), "saola " SAOLA_VERSION "\n");
}

TEST_F(CommandsTest, AnythingElseIsDropInMode) {
  EXPECT_EQ(run({"app:application", "-w", "3"}), kExitOk) << err();
  EXPECT_EQ(run({"-w", "4", "app:application"}), kExitOk) << err();
  EXPECT_EQ(run({"mysite"}), kExitOk) << err();
  ASSERT_EQ(served_.size(), 3U);
  EXPECT_EQ(served_[0].apps.at("app").workers, 3);
  EXPECT_EQ(served_[2].apps.at("app").target, "mysite");
  // A module whose name is near a command's.
  write("serv.py", "");
  EXPECT_EQ(run({"serv"}), kExitOk) << err();
  EXPECT_EQ(served_.back().apps.at("app").target, "serv");
}

}  // namespace
}  // namespace saola::cli

// What takes the place of prometheus_client's values, and when. The client here is a stand-in with
// the shape of the real one, which tests/integration/test_app_metrics.py uses.
#include "backend/app_metrics.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backend/py_handles.h"
#include "common/metrics/app_metrics.h"
#include "python_environment.h"
#include "tests/support/temporary_directory.h"

namespace saola::backend {
namespace {

using metrics::MetricStore;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kValues = R"(
class MutexValue:
    pass
ValueClass = MutexValue
)";
constexpr const char* kRegistry = R"(
class CollectorRegistry:
    def collect(self):
        yield from ()
)";
constexpr const char* kMetrics = R"(
from . import registry, values
class MetricWrapperBase:
    def collect(self): pass
    def remove(self): pass
class Metric(MetricWrapperBase):
    def _child_samples(self): pass
Counter = Histogram = Summary = Metric
class Gauge(Metric):
    def set_function(self, f): pass
)";

class AppMetricsTest : public testing::Test {
 protected:
  AppMetricsTest() {
    test::CapturedLog::instance().clear();
    directory_.write("prometheus_client/__init__.py", "");
    directory_.write("prometheus_client/values.py", kValues);
    directory_.write("prometheus_client/registry.py", kRegistry);
    directory_.write("prometheus_client/metrics.py", kMetrics);
    const auto entry = steal(PyUnicode_FromString(directory_.path().c_str()));
    SAOLA_CHECK(PyList_Insert(PySys_GetObject("path"), 0, entry.ptr()) == 0);
    file_ = *MetricStore::create_file(std::size_t{1} << 20U);
  }
  ~AppMetricsTest() override {
    run(R"(
import importlib, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Finder"]
for name in [name for name in sys.modules if name.startswith("prometheus_client")]:
    del sys.modules[name]
del sys.path[0]
importlib.invalidate_caches()
)");
  }

  void install() {
    const auto installed = install_app_metrics(UniqueFd(::dup(file_.get())), log_);
    ASSERT_TRUE(installed) << installed.error().message;
  }
  void begin() { begin_worker_app_metrics(log_); }
  // The source's global `result`, as text.
  static std::string run(const std::string& source) {
    const auto ran = run_embedded("test", source);
    if (!ran) return ran.error().message;
    const auto result = steal(PyObject_GetAttrString(ran->ptr(), "result"));
    if (!result) PyErr_Clear();
    return result ? to_text(result.ptr()) : std::string();
  }
  static std::string with_value(const std::string& source) {
    return run("from prometheus_client.values import ValueClass as Value\n" + source);
  }
  static std::string log() { return test::CapturedLog::instance().text(); }

  std::vector<double> shown(const std::string& name) {
    const auto store = *MetricStore::map(file_);
    std::vector<double> values;
    for (const auto& family :
         metrics::aggregate(metrics::read_app_series(store, file_, 0)).families) {
      if (family.name != name) continue;
      for (const auto& sample : family.samples) values.push_back(sample.value);
    }
    return values;
  }

  saola::test::TemporaryDirectory directory_;
  Logger log_{test::CapturedLog::instance(), "worker", LogLevel::kInfo};
  UniqueFd file_;
};

TEST_F(AppMetricsTest, NothingIsImportedByUs) {
  install();
  EXPECT_EQ(run("import sys\nresult = 'prometheus_client' in sys.modules"), "False");
}

TEST_F(AppMetricsTest, TheClassIsOursFromTheImportOn) {
  install();
  EXPECT_EQ(run("import prometheus_client.values as v\nresult = v.ValueClass.__name__"),
            "MetricValue");
  EXPECT_EQ(run("import prometheus_client.metrics as m, sys\n"
                "result = type(m.__loader__).__name__, type(m.__spec__.loader).__name__,"
                "[f for f in sys.meta_path if type(f).__name__ == 'Finder']"),
            "('SourceFileLoader', 'SourceFileLoader', [])");
}

TEST_F(AppMetricsTest, WhatHasBeenImportedBeforeIsTakenToo) {
  run("import prometheus_client.metrics");
  install();
  EXPECT_EQ(run("import prometheus_client.values as v\nresult = v.ValueClass.__name__"),
            "MetricValue");
}

// Other hooks (tracers) ask every finder themselves.
TEST_F(AppMetricsTest, AHookThatAsksUsDoesNotTurnInCircles) {
  install();
  EXPECT_EQ(run(R"(
import sys, importlib.util
class Other:
    asked = False
    def find_spec(self, name, path=None, target=None):
        if name != "prometheus_client.values" or self.asked: return None
        self.asked = True
        try: return importlib.util.find_spec(name)
        finally: self.asked = False
other = Other()
sys.meta_path.insert(0, other)
import prometheus_client.values as v
sys.meta_path.remove(other)
result = v.ValueClass.__name__
)"),
            "MetricValue");
}

TEST_F(AppMetricsTest, AClientOfAnotherShapeIsImportedAllTheSame) {
  directory_.write("prometheus_client/metrics.py", "from . import registry, values\nx = 1\n");
  install();
  EXPECT_EQ(run("import prometheus_client.metrics as m\nresult = m.x"), "1");
  EXPECT_THAT(log(), HasSubstr("this version of prometheus_client is unknown"));
}

TEST_F(AppMetricsTest, FilesOfMultiprocessModeAreLeftAlone) {
  install();
  run("import os\nos.environ['PROMETHEUS_MULTIPROC_DIR'] = '/somewhere'");
  EXPECT_EQ(run("import prometheus_client.metrics\nimport prometheus_client.values as v\n"
                "result = v.ValueClass.__name__"),
            "MutexValue");
  run("import os\ndel os.environ['PROMETHEUS_MULTIPROC_DIR']");
  EXPECT_THAT(log(), HasSubstr("PROMETHEUS_MULTIPROC_DIR is set"));
}

TEST_F(AppMetricsTest, AValueHasTheInterfaceOfTheClients) {
  install();
  begin();
  EXPECT_EQ(with_value(R"(
v = Value("counter", "c", "c_total", ("a",), ("1",), "help")
v.inc(1); v.inc(2.5)
before = v.get()
v.set(7, timestamp=1.0)
v.set_exemplar("e")
result = before, v.get(), v.get_exemplar(), v.shared, v.sample
)"),
            "(3.5, 7.0, 'e', True, ('c_total', ('a',), ('1',)))");
  EXPECT_THAT(shown("c"), ElementsAre(7));
  EXPECT_THAT(with_value("Value('counter', 'c', 'c_total', (), (), '').inc('x')"),
              HasSubstr("TypeError"));
  EXPECT_THAT(with_value("Value('counter', 'c', 'c_total', ('a',), (), '')"),
              HasSubstr("ValueError"));
  EXPECT_THAT(with_value("Value()"), HasSubstr("TypeError"));
  EXPECT_EQ(with_value("result = Value.__new__(Value).get()"), "0.0");
  EXPECT_EQ(with_value("v = Value('new kind', 'n', 'n', (), (), '')\nv.inc(1)\n"
                       "result = v.get(), v.shared"),
            "(1.0, False)");
}

TEST_F(AppMetricsTest, ValuesOfOneNameAreOne) {
  install();
  begin();
  EXPECT_EQ(with_value("one, two = (Value('counter', 'c', 'c_total', (), (), '') for _ in 'ab')\n"
                       "one.inc(1); two.inc(1)\nresult = one.get()"),
            "2.0");
}

TEST_F(AppMetricsTest, GaugesOfAZygoteAreTakenAlongByItsWorkers) {
  install();
  with_value(R"(
import builtins
builtins.gauge = Value("gauge", "g", "g", (), (), "", multiprocess_mode="livesum")
gauge.set(5)
)");
  EXPECT_THAT(shown("g"), testing::IsEmpty()) << "a zygote does no work of its own";
  begin();
  run("gauge.inc(1)");
  EXPECT_THAT(shown("g"), ElementsAre(6));
  run("import builtins\ngauge.withdraw()\n");
  EXPECT_THAT(shown("g"), testing::IsEmpty());
  run("import builtins\ngauge.inc(2)\ndel builtins.gauge\n");
  EXPECT_THAT(shown("g"), ElementsAre(2));
}

TEST_F(AppMetricsTest, ProcessesThatCountAtOnceLoseNothing) {
  install();
  begin();
  with_value("import builtins\nbuiltins.c = Value('counter', 'c', 'c_total', (), (), '')");
  constexpr const char* kCount = "for _ in range(20000): c.inc(1)";
  const pid_t child = ::fork();
  if (child == 0) {
    PyOS_AfterFork_Child();
    run(kCount);
    ::_exit(0);
  }
  run(kCount);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(shown("c"), ElementsAre(40000));
  run("import builtins\ndel builtins.c");
}

TEST_F(AppMetricsTest, WhatDoesNotFitCountsForItselfAndIsSaidOnce) {
  file_ = *MetricStore::create_file(MetricStore::kLeastBytes);
  install();
  begin();
  EXPECT_EQ(with_value(R"(
values = [Value("counter", "c", "c_total", ("l",), (str(n) * 50,), "") for n in range(1000)]
for value in values: value.inc(1)
result = sum(value.get() for value in values), values[0].shared, values[-1].shared
)"),
            "(1000.0, True, False)");
  const std::string text = log();
  EXPECT_THAT(text, HasSubstr("app.metrics_memory (16KiB) has no room for one more metric"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  install();  // another process
  with_value("Value('counter', 'c', 'c_total', ('l',), ('more',), '')");
  EXPECT_EQ(log(), text);
}

TEST_F(AppMetricsTest, AFileThatIsNoStoreIsRefused) {
  EXPECT_FALSE(install_app_metrics(UniqueFd(), log_));
}

}  // namespace
}  // namespace saola::backend

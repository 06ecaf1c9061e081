#include "backend/app_metrics.h"

#include <array>
#include <string>
#include <utility>

#include "backend/metric_home.h"
#include "backend/metric_value.h"
#include "backend/py_handles.h"
#include "common/metrics/app_metrics.h"

namespace saola::backend {
namespace {

constexpr const char* kSource =
#include "python/app_metrics.inc"
    ;

using metrics::AppFamily;
using metrics::AppMetricType;
using metrics::AppSample;

MetricHome* home = nullptr;

py::object new_text(std::string_view text) {
  return steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

// --- what the app's own /metrics shows ----------------------------------------------------------

// Samples of one family as prometheus_client's Metric.add_sample() takes them: (name, labels,
// value).
class SampleList {
 public:
  explicit SampleList(const AppFamily& family)
      : family_(family), list_(steal(PyList_New(0))), good_(static_cast<bool>(list_)) {}

  // Null with an exception set.
  py::object make() {
    for (const AppSample& sample : family_.samples) {
      if (good_) add_all(sample);
    }
    return good_ ? std::move(list_) : py::object();
  }

 private:
  void add_all(const AppSample& sample) {
    switch (family_.type) {
      case AppMetricType::kCounter:
        return add(sample, "_total", sample.value);
      case AppMetricType::kGauge:
        return add(sample, "", sample.value);
      case AppMetricType::kSummary:
        add(sample, "_count", sample.count);
        return add(sample, "_sum", sample.sum);
      case AppMetricType::kHistogram:
        for (const auto& bucket : sample.buckets) add(sample, "_bucket", bucket.count, bucket.le);
        add(sample, "_count", sample.count);
        // As prometheus_client: where observations may be negative the sum is no counter.
        if (!sample.buckets.empty() && sample.buckets.front().bound >= 0) {
          add(sample, "_sum", sample.sum);
        }
    }
  }

  void add(const AppSample& sample, const char* suffix, double value, std::string_view le = {}) {
    const auto name = new_text(family_.name + suffix);
    const auto labels = steal(PyDict_New());
    good_ = good_ && name && labels;
    for (const auto& [label, text] : sample.labels) put(labels, label, text);
    if (!le.empty()) put(labels, "le", le);
    const auto tuple =
        good_ ? steal(Py_BuildValue("(OOd)", name.ptr(), labels.ptr(), value)) : py::object();
    good_ = good_ && tuple && PyList_Append(list_.ptr(), tuple.ptr()) == 0;
  }

  void put(const py::object& labels, std::string_view label, std::string_view text) {
    const auto key = new_text(label);
    const auto value = new_text(text);
    good_ = good_ && key && value && PyDict_SetItem(labels.ptr(), key.ptr(), value.ptr()) == 0;
  }

  const AppFamily& family_;
  py::object list_;
  bool good_;
};

// snapshot() -> {(type, name): [(sample name, labels, value), ...]}
PyObject* snapshot(PyObject*, PyObject*) {
  metrics::AppMetrics all;
  {
    const GilRelease released;
    all = metrics::aggregate(home->contents());
  }
  auto families = steal(PyDict_New());
  for (const AppFamily& family : all.families) {
    if (!families) return nullptr;
    const auto key = steal(Py_BuildValue("(sN)", std::string(type_name(family.type)).c_str(),
                                         new_text(family.name).release().ptr()));
    const auto samples = key ? SampleList(family).make() : py::object();
    if (!samples || PyDict_SetItem(families.ptr(), key.ptr(), samples.ptr()) != 0) return nullptr;
  }
  return families.release().ptr();
}

PyObject* warn(PyObject*, PyObject* text) {
  home->log().write_block(LogLevel::kWarning, to_text(text));
  Py_RETURN_NONE;
}

PyObject* have_exemplars(PyObject*, PyObject*) {
  return PyBool_FromLong(metric_values_have_exemplars() ? 1 : 0);
}

Result<void> install_import_hook() {
  static PyMethodDef snapshot_method = {"snapshot", snapshot, METH_NOARGS, nullptr};
  static PyMethodDef warn_method = {"warn", warn, METH_O, nullptr};
  static PyMethodDef exemplars_method = {"have_exemplars", have_exemplars, METH_NOARGS, nullptr};
  const auto module = run_embedded("saola_app_metrics", kSource);
  if (!module) return Unexpected{module.error()};
  PyObject* value_type = prepare_metric_value_type(*home);
  const std::array functions = {steal(PyCFunction_New(&snapshot_method, nullptr)),
                                steal(PyCFunction_New(&warn_method, nullptr)),
                                steal(PyCFunction_New(&exemplars_method, nullptr))};
  if (value_type == nullptr) return python_failure();
  for (const auto& function : functions) {
    if (!function) return python_failure();
  }
  if (!steal(PyObject_CallMethod(module->ptr(), "install", "OOOO", value_type, functions[0].ptr(),
                                 functions[1].ptr(), functions[2].ptr()))) {
    return python_failure();
  }
  return {};
}

}  // namespace

Result<void> install_app_metrics(UniqueFd store_file, Logger log) {
  auto opened = MetricHome::open(std::move(store_file), std::move(log));
  if (!opened) return Unexpected{opened.error()};
  home = *opened;
  return install_import_hook();
}

void begin_worker_app_metrics(Logger log) {
  if (home == nullptr) return;
  home->redirect(std::move(log));
  move_metric_values();
}

}  // namespace saola::backend

#include "backend/metric_value.h"

#include <pthread.h>
#include <structmember.h>

#include <atomic>
#include <memory>
#include <new>
#include <utility>

namespace saola::backend {
namespace {

using metrics::AppMetricType;
using metrics::AppValueKey;
using metrics::GaugeMode;
using metrics::SeriesKind;
using metrics::Word;

struct Value;

// What a gauge needs to find its words again in another place.
struct GaugeFacts {
  AppValueKey key;
  GaugeMode mode;
  Value* next = nullptr;
  Value* previous = nullptr;
};

struct Value {
  PyObject_HEAD;
  Word* words;  // in the store, or `own`
  Word own[metrics::kGaugeWords];
  GaugeFacts* gauge;  // owned; null: not a gauge
  PyObject* exemplar;
  PyObject* sample;  // (name, label names, label values)
};

MetricHome* home = nullptr;
Value* gauges = nullptr;  // all of this process
bool any_exemplar = false;
// Set in the child of a fork, where the place is its parent's: gauges must leave it.
std::atomic<bool> forked{false};

Value& self_of(PyObject* object) { return *reinterpret_cast<Value*>(object); }

// --- gauges and their place ---------------------------------------------------------------------

void link(Value& value) {
  value.gauge->next = gauges;
  if (gauges != nullptr) gauges->gauge->previous = &value;
  gauges = &value;
}

void unlink(Value& value) {
  GaugeFacts& gauge = *value.gauge;
  (gauge.previous == nullptr ? gauges : gauge.previous->gauge->next) = gauge.next;
  if (gauge.next != nullptr) gauge.next->gauge->previous = gauge.previous;
}

void copy(Word* to, const Word* from) {
  to[0].store(from[0].load(std::memory_order_relaxed), std::memory_order_relaxed);
  to[1].store(from[1].load(std::memory_order_relaxed), std::memory_order_release);
}

void leave_parents_place() {
  forked.store(false, std::memory_order_relaxed);
  home->leave_place();
  for (Value* value = gauges; value != nullptr; value = value->gauge->next) {
    if (value->words == value->own) continue;
    copy(value->own, value->words);
    value->words = value->own;
  }
}

Word* words_of(Value& value) {
  if (value.gauge != nullptr && forked.load(std::memory_order_relaxed)) leave_parents_place();
  return value.words;
}

std::span<Word> words_in_place(GaugeFacts& gauge) {
  if (!home->place()) return {};
  gauge.key.holder = *home->place();
  return home->find(SeriesKind::kGauge, metrics::encode_value(gauge.key), metrics::kGaugeWords);
}

// --- construction -------------------------------------------------------------------------------

bool read_labels(PyObject* names, PyObject* values, metrics::Labels& labels) {
  const auto name_list = steal(PySequence_Fast(names, "labelnames must be a sequence"));
  const auto value_list = steal(PySequence_Fast(values, "labelvalues must be a sequence"));
  if (!name_list || !value_list) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(name_list.ptr());
  if (count != PySequence_Fast_GET_SIZE(value_list.ptr())) {
    PyErr_SetString(PyExc_ValueError, "as many labelvalues as labelnames are needed");
    return false;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    labels.emplace_back(to_text(PySequence_Fast_GET_ITEM(name_list.ptr(), i)),
                        to_text(PySequence_Fast_GET_ITEM(value_list.ptr(), i)));
  }
  return true;
}

// A type that we do not know is one of this process alone.
void settle(Value& value, std::string_view type_text, AppValueKey key, std::string_view mode_text,
            std::string help) {
  value.own[0] = metrics::bits_of(0);
  const auto type = metrics::parse_type(type_text);
  const auto mode = mode_text.empty() ? GaugeMode() : metrics::parse_mode(mode_text);
  if (!type || !mode) return;
  key.type = *type;
  const bool noted = home->note_family({key.family, *type, *mode, std::move(help)});
  std::span<Word> found;
  if (*type == AppMetricType::kGauge) {
    if (forked.load(std::memory_order_relaxed)) leave_parents_place();
    value.gauge = new GaugeFacts{std::move(key), *mode};
    link(value);
    if (noted) found = words_in_place(*value.gauge);
  } else if (noted) {
    found = home->find(SeriesKind::kReal, metrics::encode_value(key), 1);
  }
  if (found.empty()) return;
  value.words = found.data();
  std::uint64_t absent = metrics::kAbsent;
  found[0].compare_exchange_strong(absent, metrics::bits_of(0), std::memory_order_relaxed);
}

PyObject* make(PyTypeObject* of, PyObject*, PyObject*) {
  PyObject* object = of->tp_alloc(of, 0);
  if (object != nullptr) self_of(object).words = self_of(object).own;
  return object;
}

int init(PyObject* object, PyObject* args, PyObject* keywords) {
  Value& self = self_of(object);
  if (self.sample != nullptr) {
    PyErr_SetString(PyExc_TypeError, "a value is made once");
    return -1;
  }
  // Newer clients may say more: it is not ours to refuse.
  PyObject* mode =
      keywords == nullptr ? nullptr : PyDict_GetItemString(keywords, "multiprocess_mode");
  PyObject* help = keywords == nullptr ? nullptr : PyDict_GetItemString(keywords, "help_text");
  PyObject *type = nullptr, *metric = nullptr, *name = nullptr, *names = nullptr, *values = nullptr;
  if (PyArg_UnpackTuple(args, "Value", 5, 7, &type, &metric, &name, &names, &values, &help,
                        &mode) == 0) {
    return -1;
  }
  AppValueKey key;
  key.family = to_text(metric);
  key.sample = to_text(name);
  if (!read_labels(names, values, key.labels)) return -1;
  self.sample = PyTuple_Pack(3, name, names, values);
  if (self.sample == nullptr) return -1;
  settle(self, to_text(type), std::move(key), mode == nullptr ? std::string() : to_text(mode),
         help == nullptr ? std::string() : to_text(help));
  return 0;
}

void dealloc(PyObject* object) {
  Value& self = self_of(object);
  if (self.gauge != nullptr) {
    unlink(self);
    delete self.gauge;
  }
  Py_XDECREF(self.exemplar);
  Py_XDECREF(self.sample);
  Py_TYPE(object)->tp_free(object);
}

// --- what prometheus_client calls ---------------------------------------------------------------

// False with an exception set.
bool read_number(PyObject* object, double& number) {
  number = PyFloat_CheckExact(object) != 0 ? PyFloat_AS_DOUBLE(object) : PyFloat_AsDouble(object);
  return number != -1 || PyErr_Occurred() == nullptr;
}

PyObject* inc(PyObject* object, PyObject* amount) {
  double number = 0;
  if (!read_number(amount, number)) return nullptr;
  metrics::add_real(*words_of(self_of(object)), number);
  Py_RETURN_NONE;
}

PyObject* set(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  double number = 0;
  double stamp = 0;
  if (count < 1 || count + named > 2) {
    PyErr_SetString(PyExc_TypeError, "set(value, timestamp=None)");
    return nullptr;
  }
  if (!read_number(args[0], number)) return nullptr;
  if (count + named == 2 && args[1] != Py_None && !read_number(args[1], stamp)) return nullptr;
  Value& self = self_of(object);
  Word* words = words_of(self);
  words[0].store(metrics::bits_of(number), std::memory_order_relaxed);
  if (self.gauge != nullptr) words[1].store(metrics::bits_of(stamp), std::memory_order_release);
  Py_RETURN_NONE;
}

PyObject* get(PyObject* object, PyObject*) {
  return PyFloat_FromDouble(
      metrics::real_of(words_of(self_of(object))->load(std::memory_order_relaxed)));
}

PyObject* set_exemplar(PyObject* object, PyObject* exemplar) {
  any_exemplar = true;
  Py_XSETREF(self_of(object).exemplar, Py_NewRef(exemplar));
  Py_RETURN_NONE;
}

PyObject* get_exemplar(PyObject* object, PyObject*) {
  PyObject* exemplar = self_of(object).exemplar;
  return Py_NewRef(exemplar == nullptr ? Py_None : exemplar);
}

PyObject* withdraw(PyObject* object, PyObject*) {
  Value& self = self_of(object);
  Word* words = words_of(self);
  words[0].store(metrics::kAbsent, std::memory_order_relaxed);
  if (self.gauge != nullptr && words != self.own && !self.gauge->mode.live &&
      self.gauge->mode.fold != GaugeMode::Fold::kAll) {
    AppValueKey key = self.gauge->key;
    key.holder = self.gauge->mode;
    const auto left =
        home->find(SeriesKind::kGauge, metrics::encode_value(key), metrics::kGaugeWords);
    if (!left.empty()) left[0].store(metrics::kAbsent, std::memory_order_relaxed);
  }
  Py_RETURN_NONE;
}

PyObject* get_shared(PyObject* object, void*) {
  Value& self = self_of(object);
  return PyBool_FromLong(words_of(self) != self.own ? 1 : 0);
}

template <class Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"inc", inc, METH_O, nullptr},
    {"set", as_method(set), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"get", get, METH_NOARGS, nullptr},
    {"set_exemplar", set_exemplar, METH_O, nullptr},
    {"get_exemplar", get_exemplar, METH_NOARGS, nullptr},
    {"withdraw", withdraw, METH_NOARGS, nullptr},
    {},
};
PyMemberDef members[] = {
    {"sample", T_OBJECT_EX, offsetof(Value, sample), READONLY, nullptr},
    {},
};
PyGetSetDef getters[] = {
    {"shared", get_shared, nullptr, nullptr, nullptr},
    {},
};

PyTypeObject type{};

}  // namespace

PyObject* prepare_metric_value_type(MetricHome& new_home) {
  home = &new_home;
  if (type.tp_name != nullptr) return reinterpret_cast<PyObject*>(&type);
  Py_SET_REFCNT(&type, 1);
  type.tp_name = "saola.MetricValue";
  type.tp_doc = "A number of prometheus_client in the memory that all workers share.";
  type.tp_basicsize = sizeof(Value);
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_new = make;
  type.tp_init = init;
  type.tp_dealloc = dealloc;
  type.tp_methods = methods;
  type.tp_members = members;
  type.tp_getset = getters;
  if (::pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); }) !=
      0) {
    return PyErr_NoMemory();
  }
  return PyType_Ready(&type) == 0 ? reinterpret_cast<PyObject*>(&type) : nullptr;
}

void move_metric_values() {
  if (forked.load(std::memory_order_relaxed)) leave_parents_place();
  if (auto taken = home->take_place(); !taken) {
    home->log().warning("gauges of the app count for this worker alone: {}", taken.error().message);
    return;
  }
  for (Value* value = gauges; value != nullptr; value = value->gauge->next) {
    const auto found = words_in_place(*value->gauge);
    if (found.empty()) continue;
    copy(found.data(), value->words);
    value->words = found.data();
  }
}

bool metric_values_have_exemplars() { return any_exemplar; }

}  // namespace saola::backend

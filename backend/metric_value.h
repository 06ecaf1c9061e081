// MetricValue: the class that takes the place of prometheus_client.values.ValueClass: one number,
// with inc(), set(), get(), set_exemplar() and get_exemplar().
//
// Counters, histograms and summaries: the number is in the store, one for all processes; inc() is
// an atomic addition, get() the total. Gauges: this process's own number, in its place in the
// store. What does not fit into the store, and gauges of a process without a place, are numbers of
// this process alone: `shared` is false. withdraw() makes it absent until it is set again.
//
// GIL held.
#pragma once

#include "backend/metric_home.h"
#include "backend/py_handles.h"

namespace saola::backend {

// The type, ready to be called. Its values live in `home`, which must never end. Null with an
// exception set.
PyObject* prepare_metric_value_type(MetricHome& home);

// All gauges of this process move to its new place, with their values.
void move_metric_values();

// True once any value has been given an exemplar.
bool metric_values_have_exemplars();

}  // namespace saola::backend

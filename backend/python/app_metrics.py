"""prometheus_client on the memory that all workers of the application share (app_metrics.h).

Nothing here imports it. When something else does, its values become ours before the first metric is
made, and a registry collects the totals of all workers instead of what this one has counted.
"""
import functools
import os
import sys
import traceback
from _thread import _local

VALUES = "prometheus_client.values"
METRICS = "prometheus_client.metrics"
# What prometheus_client itself looks for.
MULTIPROCESS = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


class Loader:
    """Runs the module, then what waits for it; afterwards nothing of this is left in the module."""

    def __init__(self, loader, action):
        self._loader = loader
        self._action = action

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._action(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


class Finder:
    """First in sys.meta_path, until all that it waits for has been imported."""

    def __init__(self, actions):
        self._actions = actions
        self._asked = set()  # other hooks ask everybody too, us included

    def find_spec(self, name, path=None, target=None):
        if name not in self._actions or name in self._asked:
            return None
        self._asked.add(name)
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._asked.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = Loader(spec.loader, functools.partial(self.done, name))
        return spec

    def _ask_others(self, name, path, target):
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if finder is not self and find_spec else None
            if spec is not None:
                return spec
        return None

    def done(self, name, module):
        action = self._actions.pop(name, None)
        if action is not None:
            action(module)
        if not self._actions and self in sys.meta_path:
            sys.meta_path.remove(self)


class Takeover:
    def __init__(self, value_type, snapshot, warn, have_exemplars):
        self._value_type = value_type
        self._snapshot = snapshot
        self._warn = warn
        self._have_exemplars = have_exemplars
        self._current = _local()  # .families: the snapshot that a registry collects from
        self._left_alone = False

    def guarded(self, action):
        @functools.wraps(action)
        def run(module):
            try:
                if not self._left_alone:
                    action(module)
            except Exception:
                self._warn("this version of prometheus_client is unknown; its metrics may be each "
                           "worker's own\n" + traceback.format_exc())
        return run

    # -- prometheus_client.values

    def take_values(self, module):
        found = [name for name in MULTIPROCESS if name in os.environ]
        if found:
            self._left_alone = True
            self._warn(f"{found[0]} is set: the metrics of prometheus_client are in its files and "
                       "not in Saola's; docs/app_metrics.md says what to change")
            return
        module.ValueClass = self._value_type

    # -- prometheus_client.metrics

    def take_metrics(self, module):
        base = module.MetricWrapperBase
        shared = tuple(getattr(module, name) for name in ("Counter", "Gauge", "Histogram", "Summary"))
        self._child_samples = {metric._child_samples for metric in shared}
        base.collect = self._collecting(base.collect)
        for name in ("remove", "remove_by_labels", "clear"):
            if name in vars(base):
                setattr(base, name, self._removing(getattr(base, name)))
        module.Gauge.set_function = self._setting_function(module.Gauge.set_function)
        registries = sys.modules[module.__package__ + ".registry"]
        for name in ("CollectorRegistry", "RestrictedRegistry"):
            registry = getattr(registries, name, None)
            if registry is not None:
                registry.collect = self._collecting_all(registry.collect)

    def _collecting_all(self, original):
        """One snapshot for all metrics of a registry."""
        @functools.wraps(original)
        def collect(registry):
            families = self._families()
            metrics = iter(original(registry))
            while True:
                before = getattr(self._current, "families", None)
                self._current.families = families
                try:
                    metric = next(metrics, None)
                finally:
                    self._current.families = before
                if metric is None:
                    return
                yield metric
        return collect

    def _collecting(self, original):
        @functools.wraps(original)
        def collect(metric):
            if metric._labelvalues or type(metric)._child_samples not in self._child_samples:
                return original(metric)
            found = metric._get_metric()
            exemplars = self._exemplars(metric) if self._have_exemplars() else {}
            for name, labels, value in self._families().get((metric._type, metric._name), ()):
                exemplar = exemplars and exemplars.get((name, frozenset(labels.items())))
                found.add_sample(name, labels, value, None, exemplar or None)
            for labels, child in children(metric):
                if self._is_local(child):
                    for suffix, more, value, *_ in child._samples():
                        found.add_sample(metric._name + suffix, {**labels, **more}, value)
            return [found]
        return collect

    def _families(self):
        families = getattr(self._current, "families", None)
        return self._snapshot() if families is None else families

    def _is_local(self, child):
        return "_child_samples" in vars(child) or not all(
            value.shared for value in self._values(child))

    def _values(self, child):
        for attribute in vars(child).values():
            if isinstance(attribute, self._value_type):
                yield attribute
            elif isinstance(attribute, list):
                yield from (one for one in attribute if isinstance(one, self._value_type))

    def _exemplars(self, metric):
        found = {}
        for _, child in children(metric):
            for value in self._values(child):
                exemplar = value.get_exemplar()
                if exemplar is not None:
                    name, labelnames, labelvalues = value.sample
                    found[name, frozenset(zip(labelnames, labelvalues))] = exemplar
        return found

    def _removing(self, original):
        """What is removed is removed for all workers, until one counts into it again."""
        @functools.wraps(original)
        def remove(metric, *args, **kwargs):
            before = children(metric)
            result = original(metric, *args, **kwargs)
            kept = {id(child) for _, child in children(metric)}
            for _, child in before:
                if id(child) not in kept:
                    self._withdraw(child)
            return result
        return remove

    def _setting_function(self, original):
        """Such a gauge has no number that another process could read."""
        @functools.wraps(original)
        def set_function(gauge, *args, **kwargs):
            original(gauge, *args, **kwargs)
            self._withdraw(gauge)
        return set_function

    def _withdraw(self, child):
        for value in self._values(child):
            value.withdraw()


def children(metric):
    """(labels, metric without or with label values) of all that this process has made."""
    if not metric._is_parent():
        return [({}, metric)]
    with metric._lock:
        made = list(metric._metrics.items())
    return [(dict(zip(metric._labelnames, values)), child) for values, child in made]


def install(value_type, snapshot, warn, have_exemplars):
    takeover = Takeover(value_type, snapshot, warn, have_exemplars)
    finder = Finder({VALUES: takeover.guarded(takeover.take_values),
                     METRICS: takeover.guarded(takeover.take_metrics)})
    sys.meta_path.insert(0, finder)
    for name in (VALUES, METRICS):  # a .pth file may have imported it
        if name in sys.modules:
            finder.done(name, sys.modules[name])

"""sys.stdout and sys.stderr of the application as records of the error log (app_log.h).

emit(number, text) and finish(number) come from C++; number is 1 (stdout) or 2 (stderr).
"""
import contextvars
import io

REQUEST_ID = contextvars.ContextVar("saola.request_id", default="")


class LogBuffer(io.BufferedIOBase):
    def __init__(self, stream):
        self._stream = stream
        self.raw = self
        self.mode = "wb"
        self.name = stream.name

    def write(self, data):
        view = memoryview(data)
        self._stream.write(bytes(view).decode("utf-8", "backslashreplace"))
        return view.nbytes

    def flush(self):
        self._stream.flush()

    def fileno(self):
        return self._stream.fileno()

    def isatty(self):
        return False

    def writable(self):
        return True

    def close(self):
        pass


class LogStream(io.TextIOBase):
    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = True
    mode = "w"

    def __init__(self, number, emit, finish):
        self._number = number
        self._emit = emit
        self._finish = finish
        self.name = "<stdout>" if number == 1 else "<stderr>"
        self.buffer = LogBuffer(self)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._emit(self._number, text)
        return len(text)

    def flush(self):
        self._finish(self._number)

    def fileno(self):
        return self._number

    def isatty(self):
        return False

    def writable(self):
        return True

    def reconfigure(self, **options):
        pass

    def close(self):
        """Stays open: what the application's libraries print at exit belongs in the log too."""


def install(emit, finish):
    import sys

    sys.stdout = sys.__stdout__ = LogStream(1, emit, finish)
    sys.stderr = sys.__stderr__ = LogStream(2, emit, finish)

// Exceptions end at one border.
#include "backend/py_handles.h"

#include <gmock/gmock.h>
#include <pybind11/pybind11.h>

namespace saola::backend {
namespace {

using testing::HasSubstr;

TEST(PyHandles, ATracebackShowsChainedExceptions) {
  const auto ran = run_embedded("chain", R"(
try:
    raise KeyError("first")
except KeyError as error:
    raise ValueError("second") from error
)");
  ASSERT_FALSE(ran);
  EXPECT_THAT(ran.error().message, HasSubstr("KeyError: 'first'"));
  EXPECT_THAT(ran.error().message, HasSubstr("ValueError: second"));
  EXPECT_EQ(PyErr_Occurred(), nullptr);
}

TEST(PyHandles, AnExceptionThatCannotBeFormattedIsNamed) {
  const auto ran = run_embedded("nasty", R"(
class Nasty(Exception):
    def __str__(self): raise Nasty
raise Nasty
)");
  ASSERT_FALSE(ran);
  EXPECT_THAT(ran.error().message, HasSubstr("Nasty"));
  EXPECT_EQ(PyErr_Occurred(), nullptr);
}

TEST(PyHandles, TheBorderTurnsWhatIsThrownIntoAnError) {
  const auto python = py_border([]() -> Result<py::object> {
    PyErr_SetString(PyExc_LookupError, "not here");
    throw py::error_already_set();
  });
  ASSERT_FALSE(python);
  EXPECT_THAT(python.error().message, HasSubstr("LookupError: not here"));
  const auto other = py_border([]() -> Result<void> { throw std::runtime_error("odd"); });
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message, "odd");
  EXPECT_EQ(PyErr_Occurred(), nullptr);
}

TEST(PyHandles, APendingExceptionCanBePutBack) {
  PyErr_SetString(PyExc_LookupError, "kept");
  {
    PendingException pending;
    EXPECT_TRUE(pending.matches(PyExc_LookupError));
    EXPECT_FALSE(pending.matches(PyExc_ValueError));
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    pending.restore();
    EXPECT_FALSE(pending.present());
  }
  EXPECT_NE(PyErr_ExceptionMatches(PyExc_LookupError), 0);
  PyErr_Clear();
}

TEST(PyHandles, TextSurvivesLoneSurrogates) {
  const auto text = steal(PyUnicode_DecodeFSDefault("a\xff"));
  EXPECT_EQ(to_text(text.ptr()), "a\\udcff");
  EXPECT_EQ(to_text(Py_None), "None");
}

}  // namespace
}  // namespace saola::backend

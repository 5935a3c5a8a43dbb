#include <Python.h>

static int twice(int number) {
    return nmber * 2;
}

PyMODINIT_FUNC PyInit_compiler_error(void) {
    return PyLong_FromLong(twice(21));
}

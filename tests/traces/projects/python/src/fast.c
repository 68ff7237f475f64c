#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *total(PyObject *self, PyObject *items) {
    (void)self;
    long sum = 0;
    Py_ssize_t length = PySequence_Length(items);
    for (Py_ssize_t n = 0; n < length; n++) {
        PyObject *item = PySequence_GetItem(items, n);
        sum += PyLong_AsLong(item);
        Py_DECREF(item);
    }
    return PyLong_FromLong(sum);
}

static PyMethodDef methods[] = {{"total", total, METH_O, "The sum of a sequence."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }

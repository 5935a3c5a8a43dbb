from setuptools import Extension, setup

setup(ext_modules=[Extension("compiler_error", ["src/compiler_error.c"])])

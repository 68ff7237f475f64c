from setuptools import Extension, setup

setup(name="fast", version="1", ext_modules=[Extension("fast", ["src/fast.c"])])

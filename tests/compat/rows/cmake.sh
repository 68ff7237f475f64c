#!/bin/sh
# cmake with ninja: configure, build in parallel, test, build again after a change
set -eu
rm -rf cmake-build cmake-source
mkdir cmake-source
cd cmake-source
for n in 1 2 3 4 5 6 7 8; do printf 'int f%s(void) { return %s; }\n' $n $n > f$n.c; done
{ for n in 1 2 3 4 5 6 7 8; do echo "int f$n(void);"; done; echo 'int main(void) { return f1() + f8() - 9; }'; } > main.c
printf 'cmake_minimum_required(VERSION 3.18)\nproject(demo C)\nenable_testing()\nadd_library(f SHARED f1.c f2.c f3.c f4.c f5.c f6.c f7.c f8.c)\nadd_executable(demo main.c)\ntarget_link_libraries(demo f)\nadd_test(NAME demo COMMAND demo)\n' > CMakeLists.txt
cd ..
cmake -G Ninja -S cmake-source -B cmake-build > told-cmake
ninja -C cmake-build > /dev/null
(cd cmake-build && ctest --quiet)
touch cmake-source/f3.c
ninja -C cmake-build | grep -q f3.c

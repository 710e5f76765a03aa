# toolchain.cmake - TOCSIN_ARCH -> a compiler that makes static programs with musl; nothing else.
#
# build/musl/ARCH is made by tools/musl.sh. Nothing of the machine's own C library gets into the
# program: neither its headers nor its start-up files.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${TOCSIN_ARCH})
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TOCSIN_ARCH)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/../../tools/compiler.sh ${TOCSIN_ARCH}
                OUTPUT_VARIABLE compiler OUTPUT_STRIP_TRAILING_WHITESPACE
                RESULT_VARIABLE status)
if(status)
  message(FATAL_ERROR "Unknown TOCSIN_ARCH")
endif()
set(CMAKE_C_COMPILER ${compiler})
set(CMAKE_ASM_COMPILER ${compiler})
string(REGEX REPLACE "gcc$" "" prefix ${compiler})
# These know the compiler's own format of objects, for link-time optimization.
set(CMAKE_AR ${prefix}gcc-ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${prefix}gcc-ranlib CACHE FILEPATH "")
set(CMAKE_STRIP ${prefix}strip CACHE FILEPATH "")

get_filename_component(musl ${CMAKE_CURRENT_LIST_DIR}/../../build/musl/${TOCSIN_ARCH} ABSOLUTE)
execute_process(COMMAND ${compiler} -print-file-name=include
                OUTPUT_VARIABLE headers OUTPUT_STRIP_TRAILING_WHITESPACE)
set(CMAKE_C_FLAGS_INIT "-nostdinc -isystem ${musl}/include -isystem ${headers}")

# A program that can be loaded anywhere, so that an attacker cannot know where its code is. Not on
# MIPS, where such code is a tenth larger; there the soft-float ABI is for the many routers that
# have no FPU.
if(TOCSIN_ARCH MATCHES "^mips")
  string(APPEND CMAKE_C_FLAGS_INIT " -fno-pie -msoft-float")
  set(kind "-static -no-pie")
else()
  string(APPEND CMAKE_C_FLAGS_INIT " -fPIE")
  # What GCC's -static-pie stands for, which it does not know on all processors.
  set(kind "-static -Wl,-pie,--no-dynamic-linker,-z,text")
endif()
if(TOCSIN_ARCH STREQUAL x86_64)
  # The other linkers do not know this yet.
  string(APPEND kind " -Wl,-z,pack-relative-relocs")
endif()
set(TOCSIN_LIBC ${musl}/lib/libc.a)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib ${kind} ${musl}/lib/start.o")
set(CMAKE_C_STANDARD_LIBRARIES_INIT "-Wl,--start-group ${TOCSIN_LIBC} -lgcc -Wl,--end-group")

# Bytes of code, constants and first values of variables, at most (tools/size.py).
set(TOCSIN_LIMIT_x86_64 480000)
set(TOCSIN_LIMIT_aarch64 540000)
set(TOCSIN_LIMIT_armv7 410000)
set(TOCSIN_LIMIT_mips 650000)
set(TOCSIN_LIMIT_mipsel 650000)
set(TOCSIN_LIMIT_riscv64 470000)

# release.cmake - how the Linux program is compiled and linked for use: TOCSIN_LINUX=ON.
#
# With boards/linux/toolchain.cmake it is static with musl; with another toolchain (a
# distribution's, OpenWrt's) it is whatever that makes.
set(CMAKE_BUILD_TYPE "")
# No exceptions pass through C, so nothing is needed to unwind a stack.
set(code -Os -ffunction-sections -fdata-sections -fno-common
    -fno-unwind-tables -fno-asynchronous-unwind-tables
    -fstack-protector --param=ssp-buffer-size=4)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  # Without these passes the code is smaller.
  list(APPEND code -flto -fno-move-loop-invariants -fno-tree-sra -fno-tree-tail-merge)
  if(TOCSIN_ARCH STREQUAL x86_64)
    # So that tools/size.py can tell whose code it is; it takes longer.
    add_compile_options(-ffat-lto-objects)
  endif()
  add_link_options(-flto-partition=one)
endif()
add_compile_options(${code})
add_link_options(${code} -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack,--build-id=none)

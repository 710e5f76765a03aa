# toolchain.cmake - BOARD -> compiler and CPU flags; nothing else.
#
# boards/BOARD/board.cmake says TOCSIN_TRIPLET and TOCSIN_CPU_FLAGS; this makes a compiler of them.

set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BOARD)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

if(NOT EXISTS ${CMAKE_CURRENT_LIST_DIR}/boards/${BOARD}/board.cmake)
  execute_process(COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/tools/boards.py "${BOARD}")
  message(FATAL_ERROR "Unknown BOARD")
endif()
include(${CMAKE_CURRENT_LIST_DIR}/boards/${BOARD}/board.cmake)

set(CMAKE_C_COMPILER ${TOCSIN_TRIPLET}-gcc)
set(CMAKE_ASM_COMPILER ${TOCSIN_TRIPLET}-gcc)
set(CMAKE_C_FLAGS_INIT "${TOCSIN_CPU_FLAGS} --specs=picolibc.specs")
set(CMAKE_ASM_FLAGS_INIT "${TOCSIN_CPU_FLAGS}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

# Two interface targets that every target of our own links privately, and nothing else does.
add_library(mla_scale_compiler INTERFACE)
target_compile_features(mla_scale_compiler INTERFACE cxx_std_20)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

# A fused multiply-add would make results depend on the machine that compiled them.
target_compile_options(mla_scale_compiler INTERFACE -ffp-contract=off)

if(MLA_SCALE_SANITIZE)
  target_compile_options(mla_scale_compiler INTERFACE -fsanitize=${MLA_SCALE_SANITIZE} -fno-sanitize-recover=all
                                                      -fno-omit-frame-pointer)
  target_link_options(mla_scale_compiler INTERFACE -fsanitize=${MLA_SCALE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(mla_scale_compiler
                           INTERFACE -fsanitize-ignorelist=${CMAKE_CURRENT_LIST_DIR}/sanitizer_ignorelist.txt)
  endif()
endif()

# Of what only drives the library: under sanitizers its own speed is worth less than the time to compile it.
function(mla_scale_compile_fast target)
  if(MLA_SCALE_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# Not for whoever only builds it: an optimising g++ 12 warns of what is no mistake, in pages of the library's templates.
add_library(mla_scale_warnings INTERFACE)
if(MLA_SCALE_DEVELOPER_MODE)
  target_compile_options(
    mla_scale_warnings
    INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-align -Wcast-qual
              -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi
              -Wundef $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wuseless-cast
                                              -Wunused-const-variable=1> -Werror)
endif()

option(MLA_SCALE_TIDY "Run clang-tidy on the library and the tool while compiling" OFF)
if(MLA_SCALE_TIDY)
  find_program(CLANG_TIDY NAMES clang-tidy-14 clang-tidy REQUIRED)
endif()
function(mla_scale_tidy target)
  if(MLA_SCALE_TIDY)
    set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "${CLANG_TIDY};--quiet")
  endif()
endfunction()

# Installs the project, moves what was installed, and uses it as others would: the program, the library by CMake and by
# pkg-config, and the packages that cpack makes.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE error)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}\n${out}${error}")
  endif()
  set(output "${out}" PARENT_SCOPE)
endfunction()

function(expect what pattern)
  if(NOT output MATCHES "${pattern}")
    message(FATAL_ERROR "${what} printed: ${output}")
  endif()
endfunction()

# The two examples, built in `directory`, on a model whose scale is published.
function(run_examples directory)
  run(${directory}/inspect_directory ${MODEL})
  expect(inspect_directory "0\\.1352337788608801")
  run(${directory}/check_tensors ${MODEL})
  expect(check_tensors "^match\n$")
  # 576^-1/2, the regression of vLLM.
  run(${directory}/check_tensors ${MODEL} 0.041666666666666664)
  expect(check_tensors "^mismatch scale\\.latent_width\n$")
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/installed)
# Moved, so that an absolute path baked into anything shows.
set(prefix "${WORK}/moved here")
file(RENAME ${WORK}/installed ${prefix})

run(${prefix}/bin/mla-scale --version)
foreach(file share/man/man1/mla-scale.1* share/bash-completion/completions/mla-scale share/zsh/vendor-completions/_mla-scale
             share/fish/vendor_completions.d/mla-scale.fish share/mla-scale/schema/1/report.schema.json
             share/doc/mla-scale/README.md share/doc/mla-scale/CHANGELOG.md share/doc/mla-scale/LICENSE)
  file(GLOB found ${prefix}/${file})
  if(NOT found)
    message(FATAL_ERROR "${file} is not installed")
  endif()
endforeach()

# Public headers stand by themselves, and name no library that a user would have to have.
file(GLOB_RECURSE headers RELATIVE ${prefix}/include ${prefix}/include/*.hpp)
set(all "")
foreach(header ${headers})
  string(APPEND all "#include <${header}>\n")
  file(STRINGS ${prefix}/include/${header} foreign REGEX "#include.*(Eigen|nlohmann|CLI/|zip|fmt/)")
  list(FILTER foreign EXCLUDE REGEX "<mla_scale/")
  if(foreign)
    message(FATAL_ERROR "${header}: ${foreign}")
  endif()
endforeach()
file(WRITE ${WORK}/headers.cpp "${all}")

# find_package
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_CXX_FLAGS=${FLAGS} -DHEADERS=${WORK}/headers.cpp)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run_examples(${WORK}/build)

# pkg-config
file(GLOB_RECURSE pc ${prefix}/*/mla_scale.pc)
get_filename_component(pc_directory ${pc} DIRECTORY)
set(ENV{PKG_CONFIG_PATH} ${pc_directory})
run(pkg-config --cflags --libs mla_scale)
separate_arguments(flags UNIX_COMMAND "${output} ${FLAGS}")
file(MAKE_DIRECTORY ${WORK}/pkg-config)
foreach(example inspect_directory check_tensors)
  run(${COMPILER} -std=c++20 ${SOURCE}/${example}.cpp ${flags} -o ${WORK}/pkg-config/${example})
endforeach()
run_examples(${WORK}/pkg-config)

# The archive, unpacked anywhere.
run(${CMAKE_CPACK_COMMAND} -G TGZ --config ${BUILD}/CPackConfig.cmake -B ${WORK}/packages)
file(GLOB archive ${WORK}/packages/*.tar.gz)
file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${WORK}/unpacked)
file(GLOB program ${WORK}/unpacked/*/bin/mla-scale)
run(${program} inspect ${MODEL})
expect("the program of the archive" "0\\.1352337788608801")

# The Debian packages, where their tools are.
find_program(DPKG_DEB dpkg-deb)
find_program(SHLIBDEPS dpkg-shlibdeps)
find_program(FILE_TYPE file)
if(NOT SHLIBDEPS OR NOT FILE_TYPE)
  execute_process(COMMAND ${CMAKE_CPACK_COMMAND} -G DEB --config ${BUILD}/CPackConfig.cmake -B ${WORK}/packages
                  RESULT_VARIABLE status ERROR_VARIABLE output OUTPUT_QUIET)
  if(status EQUAL 0)
    message(FATAL_ERROR "cpack made a package without the tools that find what it depends on")
  endif()
  expect("cpack -G DEB without its tools" "apt-get install dpkg-dev file")
elseif(DPKG_DEB)
  run(${CMAKE_CPACK_COMMAND} -G DEB --config ${BUILD}/CPackConfig.cmake -B ${WORK}/packages)
  file(GLOB package ${WORK}/packages/mla-scale_*.deb)
  run(${DPKG_DEB} --field ${package})
  foreach(field "Section: utils" "Depends: [^\n]*libc6 [^\n]*libfmt[^\n]*zlib1g" "Maintainer: " "Description: check")
    expect("dpkg-deb --field" "${field}")
  endforeach()
  run(${DPKG_DEB} --extract ${package} ${WORK}/deb)
  run(${WORK}/deb/usr/bin/mla-scale inspect ${MODEL})
  expect("the program of the package" "0\\.1352337788608801")
  if(NOT EXISTS ${WORK}/deb/usr/share/doc/mla-scale/copyright OR EXISTS ${WORK}/deb/usr/include)
    message(FATAL_ERROR "mla-scale lacks a copyright, or holds the library")
  endif()
  file(GLOB library ${WORK}/packages/libmla-scale-dev_*.deb)
  run(${DPKG_DEB} --contents ${library})
  expect("dpkg-deb --contents" "usr/include/mla_scale/check/check\\.hpp")
endif()

# Read by cpack before it makes a package. Without these tools it makes one that depends on nothing, or fails in a trace.
if(CPACK_GENERATOR STREQUAL "DEB")
  find_program(SHLIBDEPS dpkg-shlibdeps)
  find_program(FILE_TYPE file)
  if(NOT SHLIBDEPS OR NOT FILE_TYPE)
    message(FATAL_ERROR "cpack -G DEB needs dpkg-shlibdeps and file: apt-get install dpkg-dev file")
  endif()
endif()

# `cpack -G TGZ` makes one archive; `cpack -G DEB` makes mla-scale, the tool, and libmla-scale-dev, the library.
set(CPACK_PACKAGE_VENDOR "the mla-scale authors")
set(CPACK_PACKAGE_CONTACT "the mla-scale authors <mla-scale@mla-scale.invalid>")
set(CPACK_PACKAGE_NAME mla-scale)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "check the attention scale of MLA models")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME mla-scale-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_ARCHIVE_COMPONENT_INSTALL OFF)
set(CPACK_COMPONENTS_ALL runtime development)

set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/debian_tools.cmake)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME mla-scale)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
    "A command-line tool that reads the config of a model with Multi-head Latent\n\
Attention and derives its softmax scale, says what each engine would compute\n\
from the same config, audits directories of models, and checks a dump of a\n\
GPU against attention in float64.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmla-scale-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libfmt-dev, zlib1g-dev")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
    "The C++ library behind mla-scale: headers, a static library, and the files\n\
that CMake and pkg-config look for.")

# What Debian asks of every package: its licence and its history.
if(GZIP)
  configure_file(${PROJECT_SOURCE_DIR}/lib/packaging/changelog.debian.in ${PROJECT_BINARY_DIR}/changelog.Debian @ONLY)
  foreach(component runtime development)
    string(TOUPPER ${component} upper)
    set(directory share/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
    set(stage ${PROJECT_BINARY_DIR}/debian-doc/${component})
    file(MAKE_DIRECTORY ${stage})
    foreach(pair "changelog.Debian=${PROJECT_BINARY_DIR}/changelog.Debian" "changelog=${PROJECT_SOURCE_DIR}/lib/CHANGELOG.md")
      string(REGEX MATCH "^([^=]*)=(.*)$" pair ${pair})
      execute_process(COMMAND ${GZIP} -9nc ${CMAKE_MATCH_2} OUTPUT_FILE ${stage}/${CMAKE_MATCH_1}.gz COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    install(FILES ${stage}/changelog.Debian.gz ${stage}/changelog.gz ${PROJECT_SOURCE_DIR}/lib/packaging/copyright
            DESTINATION ${directory} COMPONENT ${component} EXCLUDE_FROM_ALL)
  endforeach()
endif()
include(CPack)

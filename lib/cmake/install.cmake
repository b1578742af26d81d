include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mla_scale)
install(
  TARGETS mla_scale
  EXPORT mla_scaleTargets
  FILE_SET HEADERS COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(EXPORT mla_scaleTargets NAMESPACE mla_scale:: DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/mla_scaleConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/mla_scaleConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mla_scaleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES ${PROJECT_BINARY_DIR}/mla_scaleConfig.cmake ${PROJECT_BINARY_DIR}/mla_scaleConfigVersion.cmake
  DESTINATION ${package_dir}
  COMPONENT development)

# From the file's own place to the prefix, so that a moved prefix stays right.
file(RELATIVE_PATH PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${CMAKE_CURRENT_LIST_DIR}/mla_scale.pc.in ${PROJECT_BINARY_DIR}/mla_scale.pc @ONLY)
install(
  FILES ${PROJECT_BINARY_DIR}/mla_scale.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT development)

install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
# Debian packages have these in a form of their own (package.cmake).
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/lib/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR}
        COMPONENT documents)

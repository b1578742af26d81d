include(CMakePackageConfigHelpers)
install(TARGETS mla_scale EXPORT mla_scaleTargets FILE_SET HEADERS ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT mla_scaleTargets NAMESPACE mla_scale:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mla_scale)
configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/mla_scaleConfig.cmake.in ${PROJECT_BINARY_DIR}/mla_scaleConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mla_scale)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mla_scaleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mla_scaleConfig.cmake ${PROJECT_BINARY_DIR}/mla_scaleConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mla_scale)

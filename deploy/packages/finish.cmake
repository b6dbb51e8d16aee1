# Run by CPack when the files of all components are in place: compresses the man pages, puts the configuration where it is
# read, and adds to each package the changelog and the copyright that Debian's policy (12.5, 12.7) asks for.
file(GLOB components ${CPACK_TEMPORARY_DIRECTORY}/*)
get_filename_component(source ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
foreach(component ${components})
  get_filename_component(name ${component} NAME)
  if(NOT name STREQUAL crx)
    set(name crx-${name})
  endif()
  file(GLOB_RECURSE pages ${component}/usr/share/man/*.[1-9])
  if(pages)
    execute_process(COMMAND gzip -9nf ${pages} COMMAND_ERROR_IS_FATAL ANY)
  endif()
  set(doc ${component}/usr/share/doc/${name})
  file(MAKE_DIRECTORY ${doc})
  if(name STREQUAL crx)
    # The directory of the keys is the package's; the keys are the administrator's.
    file(MAKE_DIRECTORY ${component}/etc/crx/tls)
    file(CHMOD ${component}/etc/crx/tls PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
    file(RENAME ${component}/usr/share/crx/crx.conf ${component}/etc/crx/crx.conf)
    file(REMOVE_RECURSE ${component}/usr/share/crx)
    configure_file(${source}/CHANGELOG.md ${doc}/NEWS COPYONLY)
  endif()
  file(WRITE ${doc}/copyright "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: crx

Files: *
Copyright: 2026 the crx authors
License: Apache-2.0
 On Debian systems, the full text of the Apache License, Version 2.0,
 is in /usr/share/common-licenses/Apache-2.0.
")
  string(TIMESTAMP day "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${doc}/changelog "${name} (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * Packaged from its sources. /usr/share/doc/crx/NEWS.gz says what changed.

 -- ${CPACK_PACKAGE_CONTACT}  ${day}
")
  file(GLOB texts ${doc}/*)
  file(CHMOD ${texts} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  list(REMOVE_ITEM texts ${doc}/copyright)
  execute_process(COMMAND gzip -9nf ${texts} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

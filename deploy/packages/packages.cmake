# The Debian packages: component "crx" is the package crx, every other component NAME is crx-NAME. `cpack -G DEB`, or
# deploy/build-packages.sh.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME crx)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
# The address is nobody's (RFC 2606).
set(CPACK_PACKAGE_CONTACT "crx developers <crx@crx.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_COMPONENTS_ALL crx agent common hibernate pacemaker protect rebalance slurm)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/packages/finish.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# The scripts of a package and the list of its configuration files, which dpkg keeps when the administrator has changed them.
set(scripts ${CMAKE_CURRENT_SOURCE_DIR}/packages)
file(WRITE ${CMAKE_BINARY_DIR}/package-scripts/conffiles "/etc/crx/crx.conf\n")

set(CPACK_DEBIAN_CRX_PACKAGE_NAME crx)
set(CPACK_COMPONENT_CRX_DESCRIPTION "move running programs between hosts
The tools of crx: crx-migrate moves a process tree to another host while it
runs, crx-dump and crx-restore write it to image files and restore it. The
program keeps its PID, memory, files and sockets, and is stopped for a few
milliseconds. The destination needs the package crx-agent.")
# crx-keys calls openssl.
set(CPACK_DEBIAN_CRX_PACKAGE_DEPENDS openssl)
set(CPACK_DEBIAN_CRX_PACKAGE_RECOMMENDS crx-agent)
set(CPACK_DEBIAN_CRX_PACKAGE_CONTROL_EXTRA ${scripts}/crx/postrm ${CMAKE_BINARY_DIR}/package-scripts/conffiles)

set(CPACK_COMPONENT_AGENT_DESCRIPTION "receive running programs from other hosts
The service of crx: it receives process trees from crx-migrate and lets them
run on here, stores the image sets of crx-dump, and finishes sessions that a
crash has left.")
set(CPACK_DEBIAN_AGENT_PACKAGE_DEPENDS "crx (= ${PROJECT_VERSION}), init-system-helpers (>= 1.52)")
set(CPACK_DEBIAN_AGENT_PACKAGE_RECOMMENDS "default-dbus-system-bus | dbus-system-bus")
set(CPACK_DEBIAN_AGENT_PACKAGE_CONTROL_EXTRA
  ${scripts}/crx-agent/postinst ${scripts}/crx-agent/prerm ${scripts}/crx-agent/postrm)

set(CPACK_COMPONENT_PACEMAKER_DESCRIPTION "running programs as resources of a Pacemaker cluster
The resource agent ocf:crx:process: a cluster moves a program while it runs,
saves it when it is stopped, and revives it elsewhere when a node has died.")
set(CPACK_DEBIAN_PACEMAKER_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACEMAKER_PACKAGE_DEPENDS
  "crx (>= ${PROJECT_VERSION}), crx-agent (>= ${PROJECT_VERSION}), python3, pacemaker")

set(CPACK_COMPONENT_REBALANCE_DESCRIPTION "spread running programs over hosts
crx-rebalance reads the load of the hosts of an inventory, plans which programs
move where, and has crx-migrate move them. It also empties a host before its
maintenance. One host needs it; it reaches the others by ssh.")
set(CPACK_DEBIAN_REBALANCE_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_REBALANCE_PACKAGE_DEPENDS "crx-common (= ${PROJECT_VERSION}), python3 (>= 3.11)")
set(CPACK_DEBIAN_REBALANCE_PACKAGE_RECOMMENDS "openssh-client, crx")

set(CPACK_COMPONENT_COMMON_DESCRIPTION "modules of the scripts of crx
What crx-rebalance, crx-protect, crx-hibernate and crx-slurm have in common:
options, TOML files, records, programs and their units.")
set(CPACK_DEBIAN_COMMON_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_COMMON_PACKAGE_DEPENDS "python3 (>= 3.11)")

set(CPACK_COMPONENT_PROTECT_DESCRIPTION "save running programs again and again
crx-protect keeps some generations of image sets of chosen programs, in a folder
or in the store of an agent on another host, and restores the newest whole set
there when a host has died.")
set(CPACK_DEBIAN_PROTECT_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PROTECT_PACKAGE_DEPENDS "crx (>= ${PROJECT_VERSION}), crx-common (= ${PROJECT_VERSION}), python3 (>= 3.11)")
set(CPACK_DEBIAN_PROTECT_PACKAGE_RECOMMENDS openssh-client)

set(CPACK_COMPONENT_HIBERNATE_DESCRIPTION "take running programs over a reboot
crx-hibernate saves chosen programs before the system shuts down, and restores
them when it has booted, in the order in which they need each other.")
set(CPACK_DEBIAN_HIBERNATE_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_HIBERNATE_PACKAGE_DEPENDS "crx (>= ${PROJECT_VERSION}), crx-common (= ${PROJECT_VERSION}), python3 (>= 3.11)")
# crx-hibernate holds resets of connections back by nft.
set(CPACK_DEBIAN_HIBERNATE_PACKAGE_RECOMMENDS nftables)

set(CPACK_COMPONENT_SLURM_DESCRIPTION "let jobs of Slurm go on elsewhere
crx-slurm runs the program of a batch job, saves it when Slurm warns of the end
of the job's time, puts the job into the queue again, and restores the program
where the job starts the next time.")
set(CPACK_DEBIAN_SLURM_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_SLURM_PACKAGE_DEPENDS "crx (>= ${PROJECT_VERSION}), crx-common (= ${PROJECT_VERSION}), python3 (>= 3.11)")

include(CPack)

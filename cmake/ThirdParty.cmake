# lwIP and libssh2 from Debian's source packages, brought by scripts/setup (design, decisions 2 and 4).
set(ST_DEPS ${CMAKE_SOURCE_DIR}/.deps CACHE PATH "where scripts/setup put the sources")
if(NOT EXISTS ${ST_DEPS}/complete)
    message(FATAL_ERROR "no third-party sources in ${ST_DEPS}: run scripts/setup")
endif()

# --- lwIP: no patches, our own lwipopts.h
set(LWIP_DIR ${ST_DEPS}/lwip)
set(LWIP_CONTRIB_DIR ${LWIP_DIR}/contrib)
include(${LWIP_DIR}/src/Filelists.cmake)
add_library(lwip STATIC EXCLUDE_FROM_ALL ${lwipcore_SRCS} ${lwipcore4_SRCS} ${lwipcore6_SRCS})
target_include_directories(lwip SYSTEM PUBLIC ${LWIP_DIR}/src/include)
target_include_directories(lwip PUBLIC ${CMAKE_SOURCE_DIR}/netstack/port)
target_compile_options(lwip PRIVATE -w -fvisibility=hidden -fno-strict-aliasing)
target_link_libraries(lwip PUBLIC st_instrument)

# --- libssh2: OpenSSL back end, nothing exported; tunnel/ssh_open.c also sees its private headers (decision 5)
file(GLOB libssh2_sources ${ST_DEPS}/libssh2/src/*.c)
# crypto.c includes the back end, agent.c and bcrypt_pbkdf.c their halves: these are no units of their own.
list(FILTER libssh2_sources EXCLUDE REGEX "/(agent_win|blowfish|libgcrypt|mbedtls|openssl|os400qc3|wincng)\\.c$")
add_library(ssh2 STATIC EXCLUDE_FROM_ALL ${libssh2_sources})
target_include_directories(ssh2 SYSTEM PUBLIC ${ST_DEPS}/libssh2/include)
target_include_directories(ssh2 PRIVATE ${CMAKE_SOURCE_DIR}/tunnel/port ${ST_DEPS}/libssh2/src)
target_compile_definitions(ssh2 PUBLIC LIBSSH2_OPENSSL HAVE_CONFIG_H PRIVATE _GNU_SOURCE)
target_compile_options(ssh2 PRIVATE -w -fvisibility=hidden -fno-strict-aliasing)
target_link_libraries(ssh2 PUBLIC st_instrument)
st_pkg(ssh2 libcrypto)

# What tunnel/ssh_open.c needs on top to see libssh2's private headers.
add_library(ssh2_private INTERFACE)
target_include_directories(ssh2_private SYSTEM INTERFACE ${CMAKE_SOURCE_DIR}/tunnel/port ${ST_DEPS}/libssh2/src)
target_link_libraries(ssh2_private INTERFACE ssh2)

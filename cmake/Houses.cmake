# Each folder is one static library that names what it may use.
find_package(PkgConfig REQUIRED)

# Warnings are errors; GCC and clang know all of these.
set(ST_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wformat=2 -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wundef -Werror)
set(ST_HARDENING -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/= -fstack-protector-strong -fvisibility=hidden -fno-strict-aliasing)

add_library(st_flags INTERFACE)
target_include_directories(st_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(st_flags INTERFACE _GNU_SOURCE SSM_TUN_VERSION="${PROJECT_VERSION}")
target_compile_options(st_flags INTERFACE ${ST_WARNINGS} ${ST_HARDENING})
# libcurl brings the system's libssh2 into the process; nothing of our own static one may be exported (decision 4).
target_link_options(st_flags INTERFACE -Wl,-z,relro,-z,now -pie)
if(NOT SSM_TUN_FUZZ) # there it would hide the sanitizer's own malloc from the shared libraries
    target_link_options(st_flags INTERFACE -Wl,--exclude-libs,ALL)
endif()
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_definitions(st_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

# Third-party sources take these too, so that a sanitizer build sees into them.
add_library(st_instrument INTERFACE)
if(SSM_TUN_ASAN)
    target_compile_options(st_instrument INTERFACE -fsanitize=address,undefined
        -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(st_instrument INTERFACE -fsanitize=address,undefined)
endif()
if(SSM_TUN_FUZZ)
    target_compile_options(st_instrument INTERFACE -fsanitize=fuzzer-no-link,address,undefined
        -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(st_instrument INTERFACE -fsanitize=address,undefined)
endif()
if(SSM_TUN_COVERAGE)
    target_compile_options(st_instrument INTERFACE --coverage)
    target_link_options(st_instrument INTERFACE --coverage)
endif()
target_link_libraries(st_flags INTERFACE st_instrument)

# st_house(NAME [SOURCES file…] [USES house-or-target…] [PKG pkg-config module…])
#   a static library of this folder's files; USES and PKG are all that it may link
function(st_house name)
    cmake_parse_arguments(H "" "" "SOURCES;USES;PKG" ${ARGN})
    add_library(${name} STATIC ${H_SOURCES})
    target_link_libraries(${name} PUBLIC st_flags ${H_USES})
    st_pkg(${name} ${H_PKG})
endfunction()

# st_pkg(TARGET module…) - link system libraries by pkg-config, their headers as system headers
function(st_pkg target)
    foreach(module ${ARGN})
        string(MAKE_C_IDENTIFIER "PKG_${module}" var)
        if(NOT TARGET PkgConfig::${var})
            pkg_check_modules(${var} REQUIRED IMPORTED_TARGET GLOBAL ${module})
        endif()
        target_link_libraries(${target} PUBLIC PkgConfig::${var})
    endforeach()
endfunction()

# st_program(NAME SOURCES file… USES house…)
function(st_program name)
    cmake_parse_arguments(P "" "" "SOURCES;USES" ${ARGN})
    add_executable(${name} ${P_SOURCES})
    target_link_libraries(${name} PRIVATE st_flags ${P_USES})
endfunction()

# st_unit_test(FOLDER FILE [SHARES n] [COST seconds] USES house…) - one cmocka program for one file of tests, named FOLDER.FILE
#   SHARES: run as n tests at once, each of its share of the cases (tests/unit/share.h); COST: of a test that takes
#   seconds, so that ctest starts it before the others
function(st_unit_test folder file)
    cmake_parse_arguments(T "" "SHARES;COST" "USES" ${ARGN})
    set(target ${folder}_${file})
    add_executable(${target} ${file}.c)
    target_link_libraries(${target} PRIVATE st_flags ${T_USES})
    st_pkg_private(${target} cmocka)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    st_add_shares(${folder}.${file} "${T_SHARES}" "${T_COST}" COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    st_test_of(${folder} ${target})
endfunction()

# st_add_shares(NAME SHARES COST COMMAND…) - a test of that name or, with SHARES, tests NAME-1 to NAME-n with SHARE=k/n in their
#   environment
function(st_add_shares name shares cost)
    set(names ${name})
    if(shares)
        set(names)
        foreach(k RANGE 1 ${shares})
            list(APPEND names ${name}-${k})
        endforeach()
    endif()
    foreach(test ${names})
        add_test(NAME ${test} ${ARGN})
        set_tests_properties(${test} PROPERTIES TIMEOUT 120 LABELS unit)
        if(cost)
            set_tests_properties(${test} PROPERTIES COST ${cost})
        endif()
        if(shares)
            string(REGEX REPLACE ".*-" "" k ${test})
            set_tests_properties(${test} PROPERTIES ENVIRONMENT SHARE=${k}/${shares})
        endif()
    endforeach()
endfunction()

# Everything that tests one folder is one target, tests_of_FOLDER: scripts/coverage builds and runs it.
function(st_test_of folder target)
    if(NOT TARGET tests_of_${folder})
        add_custom_target(tests_of_${folder})
    endif()
    add_dependencies(tests_of_${folder} ${target})
endfunction()

function(st_pkg_private target)
    st_pkg(${target} ${ARGN})
endfunction()

# st_fuzzer(NAME FILE USES house…) - a libFuzzer target with the fuzz preset, else a runner over a corpus;
#   the name begins with its folder's
function(st_fuzzer name file)
    cmake_parse_arguments(F "" "" "USES" ${ARGN})
    if(SSM_TUN_FUZZ)
        add_executable(${name} ${file})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        if(NOT TARGET fuzzers)
            add_custom_target(fuzzers) # all of them and nothing else
        endif()
        add_dependencies(fuzzers ${name})
        set_property(GLOBAL APPEND_STRING PROPERTY ST_FUZZERS "${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}\n")
    else()
        add_executable(${name} ${file} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus_main.c)
        add_test(NAME fuzz.${name} COMMAND ${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
        set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
        string(REGEX REPLACE "_.*" "" folder ${name})
        st_test_of(${folder} ${name})
    endif()
    target_link_libraries(${name} PRIVATE st_flags ${F_USES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()

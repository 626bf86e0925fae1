/* cmocka and what it needs included before it; unit tests include this first. */
#ifndef LATHE_TESTS_CHECK_H
#define LATHE_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/error.h has a function of this name */
#define FAIL_MSG(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#endif

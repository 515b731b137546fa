# TERN_WARNINGS
# Sets WARNING_FLAGS; --enable-werror makes them errors. The list is the one in doc/style.md.
AC_DEFUN([TERN_WARNINGS], [
    AC_ARG_ENABLE([werror],
        [AS_HELP_STRING([--enable-werror], [treat warnings as errors (default: no)])],
        [], [enable_werror=no])
    WARNING_FLAGS="-Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes"
    WARNING_FLAGS="$WARNING_FLAGS -Wwrite-strings -Wvla -Wconversion"
    tern_werror=shown
    AS_IF([test "$enable_werror" != no], [
        WARNING_FLAGS="$WARNING_FLAGS -Werror"
        tern_werror=errors
    ])
    AC_SUBST([WARNING_FLAGS])
])

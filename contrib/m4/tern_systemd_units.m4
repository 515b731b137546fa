# TERN_SYSTEMD_UNITS
# --with-systemdsystemunitdir=DIR: where units are installed, by default below the prefix.
AC_DEFUN([TERN_SYSTEMD_UNITS], [
    AC_ARG_WITH([systemdsystemunitdir],
        [AS_HELP_STRING([--with-systemdsystemunitdir=DIR],
            [directory of systemd units (default: PREFIX/lib/systemd/system)])],
        [systemdsystemunitdir=$withval], [systemdsystemunitdir='${prefix}/lib/systemd/system'])
    AS_CASE([$systemdsystemunitdir],
        [yes], [systemdsystemunitdir='${prefix}/lib/systemd/system'],
        [no], [systemdsystemunitdir=])
    AC_SUBST([systemdsystemunitdir])
    AM_CONDITIONAL([HAVE_SYSTEMD_UNITS], [test -n "$systemdsystemunitdir"])
])

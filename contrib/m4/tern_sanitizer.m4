# TERN_SANITIZER
# --with-sanitizer=LIST, e.g. address,undefined or thread: sets SANITIZER_FLAGS, for compiling and linking.
# Every report ends the program, so that no test passes over one.
AC_DEFUN([TERN_SANITIZER], [
    AC_ARG_WITH([sanitizer],
        [AS_HELP_STRING([--with-sanitizer=LIST], [address,undefined or thread (default: none)])],
        [tern_sanitizer=$withval], [tern_sanitizer=])
    AS_CASE([$tern_sanitizer],
        [yes], [AC_MSG_ERROR([--with-sanitizer wants a list, such as address,undefined])],
        [no], [tern_sanitizer=])
    SANITIZER_FLAGS=
    AS_IF([test -n "$tern_sanitizer"], [
        AC_MSG_CHECKING([whether the compiler has -fsanitize=$tern_sanitizer])
        SANITIZER_FLAGS="-fsanitize=$tern_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer"
        tern_saved_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS $SANITIZER_FLAGS"
        AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])], [
            AC_MSG_RESULT([no])
            AC_MSG_ERROR([this compiler cannot link with -fsanitize=$tern_sanitizer])])
        CFLAGS=$tern_saved_CFLAGS
    ])
    AC_SUBST([SANITIZER_FLAGS])
])

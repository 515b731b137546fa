# libtern: the shared library that others link. It exports tern_* and nothing else.
lib_LTLIBRARIES += libtern.la

libtern_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^tern_' -no-undefined
libtern_la_LIBADD = libproto.la
libtern_la_SOURCES = \
	$(END)

pkginclude_HEADERS += %D%/tern.h
pkgconfig_DATA += %D%/tern.pc

# tern: the command. cmd_*.c hold one verb each.
bin_PROGRAMS += tern

tern_LDADD = libtern.la libproto.la $(JANSSON_LIBS)
tern_SOURCES = \
	%D%/main.c \
	$(END)

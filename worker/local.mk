# libworker: all of the worker but its main, so that tests link the very objects that ship.
noinst_LTLIBRARIES += libworker.la

libworker_la_LIBADD = $(UV_LIBS) $(CURL_LIBS) $(JANSSON_LIBS) $(SYSTEMD_LIBS) $(INIH_LIBS)
libworker_la_SOURCES = \
	%D%/call.h \
	%D%/handlers.h \
	%D%/pool.h \
	%D%/pool_kind.h \
	%D%/run.h \
	%D%/slot.h \
	$(END)

sbin_PROGRAMS += tern-worker

tern_worker_LDADD = libworker.la libproto.la
tern_worker_SOURCES = \
	%D%/main.c \
	$(END)

pkginclude_HEADERS += %D%/handler.h

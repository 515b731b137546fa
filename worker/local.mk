# libworker: all of the worker but its main, so that tests link the very objects that ship.
noinst_LTLIBRARIES += libworker.la

libworker_la_LIBADD = $(UV_LIBS) $(CURL_LIBS) $(JANSSON_LIBS) $(SYSTEMD_LIBS) $(INIH_LIBS)
libworker_la_SOURCES = \
	%D%/call.h \
	%D%/handlers.h \
	%D%/holding.c \
	%D%/holding.h \
	%D%/link.c \
	%D%/link.h \
	%D%/link_state.h \
	%D%/loop.c \
	%D%/loop.h \
	%D%/pool.h \
	%D%/pool_kind.h \
	%D%/recv_beat.c \
	%D%/recv_bye.c \
	%D%/recv_drain.c \
	%D%/recv_error.c \
	%D%/recv_hello_again.c \
	%D%/recv_recorded.c \
	%D%/recv_run.c \
	%D%/recv_stop.c \
	%D%/recv_take_back.c \
	%D%/recv_welcome.c \
	%D%/run.h \
	%D%/send_beat.c \
	%D%/send_bye.c \
	%D%/send_given.c \
	%D%/send_hello.c \
	%D%/send_result.c \
	%D%/send_started.c \
	%D%/slot.h \
	%D%/worker_options.c \
	%D%/worker_options.h \
	$(END)

sbin_PROGRAMS += tern-worker

tern_worker_LDADD = libworker.la libproto.la
tern_worker_SOURCES = \
	%D%/main.c \
	$(END)

pkginclude_HEADERS += %D%/handler.h
